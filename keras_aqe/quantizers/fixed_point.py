from typing import Any

import keras
import numpy as np
from keras import ops

from keras_aqe import backend
from keras_aqe.backend import Tensor
from keras_aqe.quantizers.quantizer import Quantizer


@keras.saving.register_keras_serializable("keras_aqe")
class FixedPoint(Quantizer):
    """Fixed point with `bits - 1` fraction bits, in [-1, 1) or [0, 2).

    `h(x) = unit * max(low, min(high, round(x / unit)))` with
    `unit = scale * 2^(1 - bits)`, halves rounded to even. A step of a power of
    two keeps every product with a power-of-two weight a shift.

    - Signed, `low = -2^(bits - 1)` and `high = 2^(bits - 1) - 1`: meant for
      the wide activations of Chen et al., 2020, Table IV (8-bit inputs).
    - Unsigned, `low = 0` and `high = 2^bits - 1`: meant for what comes out of
      a ReLU, where a signed quantizer never uses half of its levels. The bit
      of the sign doubles the range instead: [0, 2) holds 95 % of what batch
      normalisation (gamma 1, beta 0) and a ReLU leave of normal values. The
      gradient passes where `0 <= x <= 2`, as through the clipped ReLU of
      half-wave Gaussian quantization (Cai et al., 2017).

    Args:
        bits: Width of a code, from 2 to 16; unsigned from 1 to 16.
        signed: Whether there are codes below 0. Unsigned ones are for inputs
            only: a kernel needs both signs.
        estimator: `"aqe"`, `"aqe_ste"` or `"ste"`.
        stochastic: Whether training rounds at random, up or down, with the
            probabilities that keep the mean.
        seed: Integer seed of the stochastic form.
        scale: Power of two that the levels are multiplied with.
        **kwargs: `name`, `dtype` and the like, passed to the Keras layer.

    Raises:
        ValueError: If `bits` is out of range, or an unsigned quantizer is
            given to a layer as its `kernel_quantizer`.

    Example:

    ```pycon
    >>> keras.ops.convert_to_numpy(FixedPoint(bits=8).hard([-1.0, 0.3, 1.0]))
    array([-1.       ,  0.296875 ,  0.9921875], dtype=float32)
    >>> FixedPoint(bits=2, signed=False).levels
    array([0. , 0.5, 1. , 1.5], dtype=float32)

    ```
    """

    def __init__(
        self, bits: int = 8, signed: bool = True, **kwargs: Any
    ) -> None:
        least = 2 if signed else 1
        if bits not in range(least, 17):
            raise ValueError(
                f"`bits` must be an integer from {least} to 16 for "
                f"signed={signed}. Received: bits={bits}"
            )
        super().__init__(**kwargs)
        self.bits = bits
        self.signed = bool(signed)
        self._low = -(2 ** (bits - 1)) if signed else 0
        self._high = self._low + 2**bits - 1
        self.unit = self.scale / 2 ** (bits - 1)
        self._steps = 1 / self.unit
        self.levels = (np.arange(self._low, self._high + 1) * self.unit).astype(
            "float32"
        )
        if not signed:
            self.limits = (0.0, 2 * self.scale)

    def adopt(self, role: str) -> None:
        if role == "kernel" and not self.signed:
            raise ValueError(
                "It has signed=False, so a kernel quantized by it could only "
                "add and never subtract. Give kernels a quantizer of both "
                "signs, such as 'ternary'; unsigned ones are for inputs "
                "behind a ReLU."
            )

    def _saturate(self, steps):
        return ops.clip(steps, self._low, self._high)

    def hard(self, x: Any) -> Tensor:
        x = backend.convert_to_tensor(x)
        # float16 cannot hold 16-bit codes times their unit; float32 can.
        steps = ops.round(ops.cast(x, "float32") * self._steps)
        return ops.cast(self._saturate(steps) / self._steps, x.dtype)

    def codes(self, x: Any) -> Tensor:
        x = backend.convert_to_tensor(x)
        steps = ops.round(ops.cast(x, "float32") * self._steps)
        return ops.cast(self._saturate(steps), "int32")

    def _stochastic_hard(self, x: Tensor) -> Tensor:
        steps = ops.floor(x * self._steps + self._uniform(x, 0.0, 1.0))
        return self._saturate(steps) / self._steps

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "bits": self.bits,
            "signed": self.signed,
        }
