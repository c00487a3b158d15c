from typing import Any

import keras
import numpy as np
from keras import ops

from keras_aqe import backend
from keras_aqe.backend import Tensor
from keras_aqe.quantizers.quantizer import Quantizer


@keras.saving.register_keras_serializable("keras_aqe")
class FixedPoint(Quantizer):
    """Fixed point with `bits - 1` fraction bits, in [-1, 1).

    `h(x) = max(-2^(bits-1), min(2^(bits-1) - 1, round(x * 2^(bits-1))))
    / 2^(bits-1)`, halves rounded to even. Meant for the wide activations of
    Chen et al., 2020, Table IV (8-bit inputs); a step of a power of two keeps
    every product with a power-of-two weight a shift.

    Args:
        bits: Width of a code, from 2 to 16.
        estimator: `"aqe"` or `"ste"`.
        stochastic: Whether training rounds at random, up or down, with the
            probabilities that keep the mean.
        seed: Integer seed of the stochastic form.
        **kwargs: `name`, `dtype` and the like, passed to the Keras layer.

    Raises:
        ValueError: If `bits` is out of range.

    Example:

    ```pycon
    >>> keras.ops.convert_to_numpy(FixedPoint(bits=8).hard([-1.0, 0.3, 1.0]))
    array([-1.       ,  0.296875 ,  0.9921875], dtype=float32)

    ```
    """

    def __init__(self, bits: int = 8, **kwargs: Any) -> None:
        if bits not in range(2, 17):
            raise ValueError(
                f"`bits` must be an integer from 2 to 16. Received: bits={bits}"
            )
        super().__init__(**kwargs)
        self.bits = bits
        self._limit = 2 ** (bits - 1)
        self.unit = 1.0 / self._limit
        self.levels = (
            np.arange(-self._limit, self._limit) / self._limit
        ).astype("float32")

    def _saturate(self, steps):
        return ops.clip(steps, -self._limit, self._limit - 1)

    def hard(self, x: Any) -> Tensor:
        x = backend.convert_to_tensor(x)
        # float16 cannot hold 16-bit codes times their unit; float32 can.
        steps = ops.round(ops.cast(x, "float32") * self._limit)
        return ops.cast(self._saturate(steps) / self._limit, x.dtype)

    def codes(self, x: Any) -> Tensor:
        steps = ops.round(ops.cast(x, "float32") * self._limit)
        return ops.cast(self._saturate(steps), "int32")

    def _stochastic_hard(self, x: Tensor) -> Tensor:
        steps = ops.floor(x * self._limit + self._uniform(x, 0.0, 1.0))
        return self._saturate(steps) / self._limit

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bits": self.bits}
