from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_aqe.quantizers.quantizer import Quantizer


@keras.saving.register_keras_serializable("keras_aqe")
class Float16(Quantizer):
    """Half precision: `h(x)` is the IEEE 754 binary16 value nearest to `x`.

    Values beyond the largest finite one (65504) saturate. This is the "16" of
    Chen et al., 2020, Table I.

    Args:
        estimator: `"aqe"` or `"ste"`.
        stochastic: Not available: the steps of half precision depend on `x`.
        **kwargs: `name`, `dtype` and the like, passed to the Keras layer.

    Raises:
        ValueError: If `stochastic` is true.

    Example:

    ```pycon
    >>> Float16().hard([0.1, 1e6]).numpy()
    array([9.9975586e-02, 6.5504000e+04], dtype=float32)

    ```
    """

    bits = 16
    unit = 2.0**-24

    def __init__(
        self,
        estimator: str = "aqe",
        stochastic: bool = False,
        **kwargs: Any,
    ) -> None:
        if stochastic:
            raise ValueError(
                "`Float16` has no stochastic form. Use `stochastic=False`."
            )
        super().__init__(estimator=estimator, **kwargs)

    @property
    def levels(self) -> np.ndarray:  # type: ignore[override]
        """The values that `h` can take, ascending: 63,487 of them."""
        halves = np.arange(2**16, dtype="uint16").view("float16")
        return np.unique(halves[np.isfinite(halves)].astype("float32"))

    def hard(self, x: Any) -> tf.Tensor:
        x = tf.convert_to_tensor(x)
        limit = np.finfo("float16").max
        clipped = tf.clip_by_value(tf.cast(x, tf.float32), -limit, limit)
        return tf.cast(_round_to_half(clipped), x.dtype)

    def codes(self, x: Any) -> tf.Tensor:
        steps = tf.cast(self.hard(x), tf.float64) / self.unit
        return tf.cast(steps, tf.int64)


def _round_to_half(x):
    # On the bits, because XLA removes a cast to float16 and back again.
    bits = tf.bitcast(x, tf.uint32)
    even = tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, 13), 1)
    normal = tf.bitcast(
        tf.bitwise.bitwise_and(bits + 0x0FFF + even, 0xFFFFE000), tf.float32
    )
    subnormal = tf.round(x * 2.0**24) * 2.0**-24
    return tf.where(tf.abs(x) < 2.0**-14, subnormal, normal)
