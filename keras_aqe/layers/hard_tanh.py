from typing import Any

import keras

from keras_aqe import backend, estimators
from keras_aqe.backend import Tensor, with_gradient


@keras.saving.register_keras_serializable("keras_aqe")
class HardTanh(keras.layers.Layer):
    """Hard tanh: `y = max(-1, min(1, x))`, gradient `1[|x| <= 1]`.

    Source: Courbariaux et al., 2016; Chen et al., 2020, Sec. IV.

    Args:
        **kwargs: Arguments of the Keras layer.

    Example:

    ```pycon
    >>> keras.ops.convert_to_numpy(HardTanh()(np.array([-2.0, 0.3])))
    array([-1. ,  0.3], dtype=float32)

    ```
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        x = backend.convert_to_tensor(inputs)
        if not training:
            return _clip(x)
        # One kernel in each direction, where operators would run one by one.
        return with_gradient(_clip, estimators.pass_inside, x)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def _clip(x):
    return keras.ops.clip(x, -1, 1)
