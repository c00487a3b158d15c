import functools
import operator
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_aqe import backend
from keras_aqe.backend import Tensor
from keras_aqe.quantizers.quantizer import Quantizer


@keras.saving.register_keras_serializable("keras_aqe")
class PowerOfTwo(Quantizer):
    """`n >= 2` bits: zero and `q = 2^(n-1) - 1` powers of two with a sign.

    `h(x) = 0` if `|x| <= D_q`, else `sign(x) * 2^-p` for the first `p` of
    `q-1, ..., 0` with `|x| <= D_p`, where `D_q < ... < D_1 < D_0 = infinity`
    (Chen et al., 2020, Eq. 22). `n = 3` gives {0, ±1/4, ±1/2, ±1}.

    The paper leaves the thresholds open. Here `D_q, ..., D_1` are the
    midpoints of neighbouring levels times a scale (1/8, 3/8 and 3/4 of it for
    three bits). For inputs the scale is 1, since hard tanh leaves them in
    [-1, 1]. For kernels it is `2.5 * mean|W|` (`1.4 * mean|W|` for two bits,
    which is the `0.7 * mean|W|` of ternary weight networks, Li and Liu, 2016):
    fresh kernels are around 0.02, so that a fixed threshold would quantize
    every weight to 0, while batch normalisation makes the network indifferent
    to the kernel's overall scale.

    Args:
        bits: Width `n` of a code, from 2 to 6.
        thresholds: The `q` thresholds ascending, from `D_q` to `D_1`; in units
            of `mean|x|` if `relative`, else of `scale`. `None` takes the
            defaults above.
        relative: Whether thresholds are in units of `mean|x|`, taken over the
            whole tensor. `None` means yes for a kernel and no for an input;
            the layer that is given the quantizer decides.
        estimator: `"aqe"`, `"aqe_ste"` or `"ste"`.
        stochastic: Whether training rounds `x` at random to one of the two
            neighbouring levels, with the probabilities that keep its mean
            (`x` in units of the scale; only for the default thresholds).
        seed: Integer seed of the stochastic form.
        scale: Power of two that the levels are multiplied with.
        **kwargs: `name`, `dtype` and the like, passed to the Keras layer.

    Raises:
        ValueError: If `bits` or `thresholds` do not fit the above, or if one
            quantizer is given to a layer as `input_quantizer` and again as
            `kernel_quantizer`.

    Example:

    ```pycon
    >>> y = PowerOfTwo(bits=3).hard([-0.9, -0.2, 0.1, 0.5])
    >>> keras.ops.convert_to_numpy(y)
    array([-1.  , -0.25,  0.  ,  0.5 ], dtype=float32)

    ```
    """

    def __init__(
        self,
        bits: int = 3,
        thresholds: Sequence[float] | None = None,
        relative: bool | None = None,
        estimator: str = "aqe",
        stochastic: bool = False,
        seed: int | None = None,
        scale: float = 1.0,
        **kwargs: Any,
    ) -> None:
        if bits not in range(2, 7):
            raise ValueError(
                "`bits` must be an integer from 2 to 6 (1 bit is "
                f"`keras_aqe.quantizers.Binary`). Received: bits={bits}"
            )
        super().__init__(
            estimator=estimator,
            stochastic=stochastic,
            seed=seed,
            scale=scale,
            **kwargs,
        )
        self.bits = bits
        self.relative = relative
        self._role: str | None = None
        self._magnitudes = 2.0 ** np.arange(2 - 2 ** (bits - 1), 1)
        self.unit = float(self._magnitudes[0]) * self.scale
        self.levels = self.scale * np.concatenate(
            [-self._magnitudes[::-1], [0.0], self._magnitudes]
        ).astype("float32")
        self.thresholds = self._check_thresholds(thresholds)

    def _check_thresholds(self, thresholds):
        if thresholds is None:
            return None
        thresholds = tuple(float(t) for t in thresholds)
        if (
            len(thresholds) != len(self._magnitudes)
            or thresholds[0] < 0
            or any(a >= b for a, b in zip(thresholds, thresholds[1:]))
        ):
            raise ValueError(
                f"`thresholds` must be {len(self._magnitudes)} non-negative, "
                f"ascending numbers for {self.bits} bits. "
                f"Received: thresholds={thresholds}"
            )
        if self.stochastic:
            raise ValueError(
                "`thresholds` cannot be chosen with `stochastic=True`: random "
                "rounding has no thresholds. Leave one of the two out."
            )
        return thresholds

    def adopt(self, role: str) -> None:
        if self._role not in (None, role):
            raise ValueError(
                f"It already quantizes the {self._role} of a layer, as "
                f"{self.place}, and cannot quantize a {role} too, because the "
                "thresholds of kernels are relative to their mean magnitude "
                "and those of inputs are not. Make one quantizer for each."
            )
        if role == "input" and self.relative:
            raise ValueError(
                "It has `relative=True`, which would "
                "make an input's codes depend on the other inputs of its "
                "batch. Give fixed thresholds for inputs: `relative=False`."
            )
        self._role = role
        if self.relative is None:
            self.relative = role == "kernel"

    def _unit(self, x):
        """What thresholds are in units of."""
        return backend.mean_magnitude(x) if self.relative else self.scale

    def _level_1(self):
        """The level 1 of the default thresholds, in these units."""
        if not self.relative:
            return 1.0
        return 1.4 if self.bits == 2 else 2.5

    def _scaled_thresholds(self, x):
        """The thresholds `D_q` to `D_1` in units of `x`."""
        thresholds = self.thresholds
        if thresholds is None:
            lower = np.concatenate([[0.0], self._magnitudes[:-1]])
            thresholds = (lower + self._magnitudes) / 2 * self._level_1()
        # One product each: of two, compilers change the order, and a weight
        # that is next to a threshold would have another code in a graph.
        unit = self._unit(x)
        return [float(threshold) * unit for threshold in thresholds]

    def _sum_of_steps(self, x, heights, dtype):
        """`sum_k heights[k] * (1[x > D_k] - 1[x < -D_k])`."""
        thresholds = [ops.cast(t, x.dtype) for t in self._scaled_thresholds(x)]
        steps = [
            ops.cast(backend.convert_to_tensor(height), dtype)
            * (ops.cast(x > t, dtype) - ops.cast(x < -t, dtype))
            for t, height in zip(thresholds, heights.tolist())
        ]
        return functools.reduce(operator.add, steps)

    def hard(self, x: Any) -> Tensor:
        x = backend.convert_to_tensor(x)
        heights = np.diff(self._magnitudes * self.scale, prepend=0.0)
        return self._sum_of_steps(x, heights, x.dtype)

    def codes(self, x: Any) -> Tensor:
        heights = np.diff(self._magnitudes / self._magnitudes[0], prepend=0.0)
        heights = heights.astype("int64")
        return self._sum_of_steps(
            backend.convert_to_tensor(x), heights, "int32"
        )

    def _stochastic_hard(self, x: Tensor) -> Tensor:
        level_1 = ops.cast(self._level_1() * self._unit(x), x.dtype)
        scaled = ops.clip(x / level_1, -1.0, 1.0)
        magnitude = ops.abs(scaled)
        threshold = self._uniform(x, 0.0, 1.0)
        result = ops.zeros_like(x)
        levels = [0.0, *self._magnitudes.tolist()]
        for low, high in zip(levels, levels[1:]):
            up = (magnitude - low) > threshold * (high - low)
            result = ops.where(up, ops.cast(high, x.dtype), result)
        return self.scale * result * ops.sign(scaled)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "bits": self.bits,
            "thresholds": self.thresholds,
            "relative": self.relative,
        }
