"""Models that take the weights of the float models that they were made of."""

from typing import Any

import keras

from keras_aqe.layers.quantized import with_alphas


class _TakesFloatWeights:
    """Mixin: `set_weights` takes lists without quantizers' alphas, too."""

    def set_weights(self, weights: Any) -> None:
        """Sets the weights from a list of arrays, as Keras does.

        Takes the list of the float model too, without the alphas of the
        quantizers, which then stay as they are.

        Args:
            weights: What `get_weights` returns of this model, or of the float
                model that it was made of.

        Raises:
            ValueError: If the number or a shape does not fit.
        """
        super().set_weights(with_alphas(self, weights))


@keras.saving.register_keras_serializable("keras_aqe")
class QuantizedModel(_TakesFloatWeights, keras.Model):
    """A Functional model that `keras_aqe.quantize_model` made.

    Its `set_weights` takes `get_weights()` of the float model; all else is
    `keras.Model`.
    """


@keras.saving.register_keras_serializable("keras_aqe")
class QuantizedSequential(_TakesFloatWeights, keras.Sequential):
    """A Sequential model that `keras_aqe.quantize_model` made.

    Its `set_weights` takes `get_weights()` of the float model; all else is
    `keras.Sequential`.
    """


# Legacy .h5 files name the class of a model without its package.
keras.saving.get_custom_objects().update(
    QuantizedModel=QuantizedModel, QuantizedSequential=QuantizedSequential
)
