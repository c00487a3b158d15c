from collections.abc import Collection
from typing import Any

import keras
import numpy as np

from keras_aqe import backend
from keras_aqe.callbacks.logs import Logs


class BlendHistory(keras.callbacks.Callback):
    """Keeps a layer's blended kernel and activations at chosen epochs.

    These are the values that training computes with,
    `alpha * h(x) + (1 - alpha) * x`, whose histograms are Figures 1 to 4 of
    Chen et al., 2020; `keras_aqe.plots.blend_histograms` draws them. The
    network runs as in training (batch normalisation by the batch) and is left
    as it was.

    Args:
        kernel: Name of a layer with a quantized kernel, or `None`.
        activation: Name of a `QuantActivation` layer of the model itself
            (not of a nested one), or `None`.
        x: Inputs that the activations are computed for, one batch; needed
            with `activation`.
        epochs: Epochs after which values are kept, counted from 1. `None`
            means all.

    Attributes:
        kernels: `{epoch: array}`, the blended kernels.
        activations: `{epoch: array}`, the blended activations.
        alphas: `{epoch: alpha}`.

    Raises:
        ValueError: If a layer is not there or has no such quantizer.

    Example:

    ```python
    blends = aqe.callbacks.BlendHistory(
        "conv2", "conv2_quant", x[:100], epochs=(5, 25, 55)
    )
    model.fit(x, y, epochs=55, callbacks=[scheduler, blends])
    aqe.plots.blend_histograms(blends.kernels, blends.alphas)
    ```
    """

    def __init__(
        self,
        kernel: str | None = None,
        activation: str | None = None,
        x: Any = None,
        epochs: Collection[int] | None = None,
    ) -> None:
        super().__init__()
        if (activation is None) != (x is None):
            raise ValueError(
                "`activation` and `x` go together: the activations are those "
                "of the layer for the inputs `x`. Give both or none."
            )
        self.kernel = kernel
        self.activation = activation
        self.x = x
        self.epochs = epochs
        self.kernels: dict[int, np.ndarray] = {}
        self.activations: dict[int, np.ndarray] = {}
        self.alphas: dict[int, float] = {}

    def on_train_begin(self, logs: Logs = None) -> None:
        if self.kernel is not None:
            self._layer(self.kernel, "kernel_quantizer")
        if self.activation is not None:
            layer = self._layer(self.activation, "quantizer")
            self._before = before(self.model, layer)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        epoch += 1
        if self.epochs is not None and epoch not in self.epochs:
            return
        if self.kernel is not None:
            layer = self._layer(self.kernel, "kernel_quantizer")
            self._keep(
                self.kernels, epoch, layer.kernel_quantizer, layer.kernel
            )
        if self.activation is not None:
            layer = self._layer(self.activation, "quantizer")
            values = run_as_in_training(self._before, self.x)
            self._keep(self.activations, epoch, layer.quantizer, values)

    def _layer(self, name, attribute):
        layer = self.model.get_layer(name)
        if getattr(layer, attribute, None) is None:
            raise ValueError(
                f"Layer {name!r} has no `{attribute}`, so it has no blended "
                "values to keep. Name a layer that has one."
            )
        return layer

    def _keep(self, record, epoch, quantizer, values):
        values = keras.ops.convert_to_tensor(values)
        blend = quantizer.blend(values)
        record[epoch] = keras.ops.convert_to_numpy(blend)
        self.alphas[epoch] = float(keras.ops.convert_to_numpy(quantizer.alpha))


def before(model: keras.Model, layer: keras.layers.Layer) -> keras.Model:
    """The model up to what a layer of it is called on."""
    # A Sequential model has one input and no `input`.
    sequential = isinstance(model, keras.Sequential)
    inputs = model.inputs[0] if sequential else model.input
    return keras.Model(inputs, layer.input)


def run_as_in_training(model: keras.Model, x: Any) -> Any:
    """Runs a model with `training=True` and leaves it as it was."""
    variables = model.non_trainable_variables
    state = [keras.ops.convert_to_numpy(v) for v in variables]
    with backend.keeps_random_state():
        values = model(x, training=True)
    for variable, value in zip(variables, state):
        variable.assign(value)
    return values
