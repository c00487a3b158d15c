from typing import Any

import keras
import numpy as np
from keras import ops

from keras_aqe import backend
from keras_aqe.backend import Tensor
from keras_aqe.quantizers.quantizer import Quantizer


@keras.saving.register_keras_serializable("keras_aqe")
class Binary(Quantizer):
    """One bit: `h(x) = sign(x)` with `sign(0) = +1`.

    Source: Chen et al., 2020, Eq. 4.

    Args:
        estimator: `"aqe"`, `"aqe_ste"` or `"ste"`.
        stochastic: Whether training uses `sign(x - z)`, `z ~ U[-1, 1]`
            (Eq. 7) in place of `sign(x)`.
        seed: Integer seed of the stochastic form.
        scale: Power of two that the levels are multiplied with.
        **kwargs: `name`, `dtype` and the like, passed to the Keras layer.

    Example:

    ```pycon
    >>> keras.ops.convert_to_numpy(Binary().hard([-0.2, 0.0, 3.0]))
    array([-1.,  1.,  1.], dtype=float32)

    ```
    """

    bits = 1

    def __init__(
        self,
        estimator: str = "aqe",
        stochastic: bool = False,
        seed: int | None = None,
        scale: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(estimator, stochastic, seed, scale, **kwargs)
        self.unit = self.scale
        self.levels = np.array([-self.scale, self.scale], "float32")

    def hard(self, x: Any) -> Tensor:
        x = backend.convert_to_tensor(x)
        level = ops.full_like(x, self.scale)
        return ops.where(x >= 0, level, -level)

    def codes(self, x: Any) -> Tensor:
        return ops.where(backend.convert_to_tensor(x) >= 0, 1, -1)

    def _stochastic_hard(self, x: Tensor) -> Tensor:
        return self.hard(x - self._uniform(x, *self.limits))
