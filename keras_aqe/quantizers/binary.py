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
        estimator: `"aqe"` or `"ste"`.
        stochastic: Whether training uses `sign(x - z)`, `z ~ U[-1, 1]`
            (Eq. 7) in place of `sign(x)`.
        seed: Integer seed of the stochastic form.
        **kwargs: `name`, `dtype` and the like, passed to the Keras layer.

    Example:

    ```pycon
    >>> keras.ops.convert_to_numpy(Binary().hard([-0.2, 0.0, 3.0]))
    array([-1.,  1.,  1.], dtype=float32)

    ```
    """

    bits = 1
    unit = 1.0
    levels = np.array([-1.0, 1.0], "float32")

    def hard(self, x: Any) -> Tensor:
        x = backend.convert_to_tensor(x)
        return ops.where(x >= 0, ops.ones_like(x), -ops.ones_like(x))

    def codes(self, x: Any) -> Tensor:
        return ops.where(backend.convert_to_tensor(x) >= 0, 1, -1)

    def _stochastic_hard(self, x: Tensor) -> Tensor:
        return self.hard(x - self._uniform(x, -1.0, 1.0))
