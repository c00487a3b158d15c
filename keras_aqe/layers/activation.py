from typing import Any

import keras

from keras_aqe import quantizers
from keras_aqe.backend import Tensor
from keras_aqe.layers.quantized import naming, take


@keras.saving.register_keras_serializable("keras_aqe")
class QuantActivation(keras.layers.Layer):
    """Quantizes activations: `y = quantizer(x)`.

    Args:
        quantizer: A quantizer, its name or its config.
        **kwargs: Arguments of the Keras layer.

    Raises:
        ValueError: If `quantizer` is `None` or unknown.

    Example:

    ```pycon
    >>> y = QuantActivation("ternary")(np.array([-0.9, 0.2]))
    >>> keras.ops.convert_to_numpy(y)
    array([-1.,  0.], dtype=float32)

    ```
    """

    def __init__(self, quantizer: quantizers.Identifier, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        with naming("quantizer", self.name):
            found = quantizers.get(quantizer)
        if found is None:
            raise ValueError(
                "`quantizer` must be a quantizer or its name. Received: None "
                f"in layer {self.name!r}. Leave the layer out instead."
            )
        self.quantizer = found
        take(self.quantizer, self, "quantizer", "input")

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        return self.quantizer(inputs, training=training)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "quantizer": quantizers.serialize(self.quantizer),
        }
