"""Alpha of all quantizers of a model."""

import keras

from keras_aqe import schedules
from keras_aqe.quantizers import Quantizer


def find(model: keras.Model) -> list[Quantizer]:
    """Returns all quantizers of a model, those of nested models too.

    Args:
        model: A `keras.Model`.

    Returns:
        A list of `keras_aqe.quantizers.Quantizer`, each once.

    Example:

    ```pycon
    >>> model = aqe.models.MINWNet("D", filters=2, dense_units=4)
    >>> sorted({quantizer.bits for quantizer in find(model)})
    [1]

    ```
    """
    # _flatten_layers is the only way that Keras has to see sublayers.
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, Quantizer)
    ]


def set_alpha(model: keras.Model, alpha: float) -> None:
    """Sets alpha in all quantizers of a model, those of nested models too.

    For training loops of one's own; under `model.fit`,
    `keras_aqe.callbacks.AlphaScheduler` does it. Call it before each step and
    end with steps at alpha = 1.

    Args:
        model: A `keras.Model`.
        alpha: Float in (0, 1].

    Raises:
        ValueError: If alpha is not in (0, 1].

    Example:

    ```pycon
    >>> model = aqe.models.MINWNet("D", filters=2, dense_units=4)
    >>> set_alpha(model, aqe.schedules.Linear()(0.425))
    >>> float(model.get_layer("conv1_quant").quantizer.alpha)
    0.75

    ```
    """
    alpha = schedules.check_alpha(alpha, "alpha")
    for quantizer in find(model):
        quantizer.alpha.assign(alpha)
