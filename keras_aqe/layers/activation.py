import keras

from keras_aqe import quantizers


@keras.saving.register_keras_serializable("keras_aqe")
class QuantActivation(keras.layers.Layer):
    """Quantizes activations: `y = quantizer(x)`.

    Args:
        quantizer: A quantizer, its name or its config.
        **kwargs: Arguments of the Keras layer.

    Raises:
        ValueError: If `quantizer` is `None` or unknown.

    Example:

    >>> QuantActivation("ternary")(np.array([-0.9, 0.2])).numpy()
    array([-1.,  0.], dtype=float32)
    """

    def __init__(self, quantizer, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.quantizer = quantizers.get(quantizer)
        if self.quantizer is None:
            raise ValueError(
                "`quantizer` must be a quantizer or its name. Received: None "
                f"in layer {self.name!r}. Leave the layer out instead."
            )
        self.quantizer.adopt("input")

    def call(self, inputs, training=None):
        return self.quantizer(inputs, training=training)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "quantizer": quantizers.serialize(self.quantizer),
        }
