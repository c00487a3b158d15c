from typing import Any

import keras
import numpy as np
from keras import ops

from keras_aqe import backend
from keras_aqe.backend import Tensor
from keras_aqe.quantizers.quantizer import Quantizer


@keras.saving.register_keras_serializable("keras_aqe")
class Float16(Quantizer):
    """Half precision: `h(x)` is the IEEE 754 binary16 value nearest to `x`.

    Values beyond the largest finite one (65504) saturate. This is the "16" of
    Chen et al., 2020, Table I.

    Args:
        estimator: `"aqe"`, `"aqe_ste"` or `"ste"`.
        stochastic: Not available: the steps of half precision depend on `x`.
        scale: Not available: half precision has steps for every range.
        **kwargs: `name`, `dtype` and the like, passed to the Keras layer.

    Raises:
        ValueError: If `stochastic` is true, or `scale` is not 1.

    Example:

    ```pycon
    >>> keras.ops.convert_to_numpy(Float16().hard([0.1, 1e6]))
    array([9.9975586e-02, 6.5504000e+04], dtype=float32)

    ```
    """

    bits = 16
    unit = 2.0**-24

    def __init__(
        self,
        estimator: str = "aqe",
        stochastic: bool = False,
        scale: float = 1.0,
        **kwargs: Any,
    ) -> None:
        if stochastic:
            raise ValueError(
                "`Float16` has no stochastic form. Use `stochastic=False`."
            )
        if scale != 1:
            raise ValueError(
                "`Float16` has steps for every range and takes no `scale`. "
                f"Received: scale={scale}"
            )
        super().__init__(estimator=estimator, **kwargs)

    @property
    def levels(self) -> np.ndarray:  # type: ignore[override]
        """The values that `h` can take, ascending: 63,487 of them."""
        halves = np.arange(2**16, dtype="uint16").view("float16")
        return np.unique(halves[np.isfinite(halves)].astype("float32"))

    def hard(self, x: Any) -> Tensor:
        x = backend.convert_to_tensor(x)
        limit = np.finfo("float16").max
        clipped = ops.clip(ops.cast(x, "float32"), -limit, limit)
        return ops.cast(backend.round_to_half(clipped), x.dtype)

    def codes(self, x: Any) -> Tensor:
        steps = ops.cast(self.hard(x), "float32") / self.unit
        return backend.to_int64(steps)
