"""Batch normalisation made to fit the hard network."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_aqe import backend, graph
from keras_aqe.alpha import find


def recalibrate(
    model: keras.Model,
    data: Any,
    batch_size: int | None = None,
    steps: int | None = None,
    verbose: int | str = 0,
) -> None:
    """Re-estimates batch normalisation for hard quantizers, in place.

    A run that stopped before alpha was 1 leaves statistics of blended values
    in batch normalisation, so the hard network is far worse than it could be.
    `recalibrate` runs the model on `data` with hard quantizers and with batch
    normalisation in training mode, and replaces every moving mean and
    variance by the exact mean and variance of all that the layer saw:
    no momentum, each example with equal weight. Then it sets alpha to 1 in
    every quantizer, since that is what the statistics now are for (and
    `keras_aqe.converters.convert` asks for). No other weight changes; all
    else (dropout, for example) is in inference mode.

    Inside the passes each layer normalises by the statistics of its batch, so
    use large batches of training images, shuffled and not augmented.

    Args:
        model: A built Functional or Sequential model. Nested models are
            recalibrated too. It need not be compiled.
        data: Inputs as for `model.predict`: an array, a list or dict of one
            for each input, a `tf.data.Dataset` or a `keras.utils.PyDataset`,
            whose targets are ignored.
        batch_size: Examples in a batch where `data` is arrays. `None` means
            32, as in Keras.
        steps: Number of batches; needed for an endless dataset.
        verbose: As in `model.predict`: 0 for silence, 1 for a progress bar, 2
            for one line, `"auto"` for 1 or 2.

    Raises:
        ValueError: If the model is not built, not Functional, or has no batch
            normalisation that can be reached, or if the data are empty or
            give statistics that are not finite. The model is then unchanged.

    Example:

    ```pycon
    >>> model = aqe.models.MINWNet("D", filters=2, dense_units=4)
    >>> recalibrate(model, np.random.normal(size=(64, 32, 32, 3)))
    >>> float(model.get_layer("conv1_quant").quantizer.alpha)
    1.0

    ```
    """
    statistics = backend.on_one_device(
        lambda: _statistics(model, data, batch_size, steps, verbose)
    )
    for layer, mean, variance in statistics:
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)
    for quantizer in find(model):
        quantizer.alpha.assign(1.0)
        quantizer.trained_alpha.assign(1.0)


def _statistics(model, data, batch_size, steps, verbose):
    """Each batch normalisation with the mean and variance of all it sees."""
    twin, recorders = _twin(model)
    # XLA may add floats in another order than the model does at inference.
    twin.compile(jit_compile=False)
    twin.predict(data, batch_size=batch_size, steps=steps, verbose=verbose)
    statistics = []
    for layer, recorder in recorders:
        mean = ops.convert_to_numpy(recorder.seen_mean)
        variance = ops.convert_to_numpy(recorder.seen_variance)
        if not (float(recorder.seen) and np.isfinite([mean, variance]).all()):
            raise ValueError(
                f"Batch normalisation {layer.name!r} saw no values, or values "
                "that are NaN or infinite. Check `data` and the weights of "
                "the layers before it."
            )
        statistics.append((layer, mean, variance))
    return statistics


class _Recorder(keras.layers.BatchNormalization):
    """Batch normalisation by the batch, that remembers all it has seen."""

    def build(self, input_shape):
        super().build(input_shape)

        def zeros(name, shape):
            return self.add_weight(
                name=name,
                shape=shape,
                initializer="zeros",
                trainable=False,
                autocast=False,
            )

        self.seen = zeros("seen", ())
        self.seen_mean = zeros("seen_mean", self.moving_mean.shape)
        self.seen_variance = zeros("seen_variance", self.moving_mean.shape)

    def call(self, inputs, training=None, mask=None):
        # Without momentum the moving statistics are those of this batch.
        outputs = super().call(inputs, training=True, mask=mask)
        if mask is None:
            count = ops.size(inputs) // self.moving_mean.shape[0]
        else:
            count = ops.count_nonzero(mask)
        count = ops.cast(count, "float32")
        share = ops.divide_no_nan(count, self.seen + count)
        shift = self.moving_mean - self.seen_mean
        # The variance of a union: the mean variance and that of the means.
        self.seen_variance.assign_add(
            share * (self.moving_variance - self.seen_variance)
            + share * (1 - share) * shift**2
        )
        self.seen_mean.assign_add(share * shift)
        self.seen.assign_add(count)
        return outputs


def _twin(model):
    """A copy of the model that records, and pairs of (layer, recorder)."""
    graph.functional(model, "recalibrate")
    pairs = []

    def copy(layer):
        config = layer.get_config()
        if isinstance(layer, keras.layers.BatchNormalization):
            fixed = {"momentum": 0.0, "renorm": False, "trainable": True}
            # Keras before 3.14 has no renorm.
            config |= {k: v for k, v in fixed.items() if k in config}
            twin = _Recorder.from_config(config)
        else:
            twin = type(layer).from_config(config)
        pairs.append((layer, twin))
        return twin

    # As a Functional model of its own, without the optimizer and the loss.
    inputs = model.inputs if len(model.inputs) > 1 else model.inputs[0]
    functional = keras.Model(inputs, model.outputs)
    twin = keras.models.clone_model(
        functional, clone_function=copy, recursive=True
    )
    recorders = []
    for layer, copied in pairs:
        if isinstance(copied, _Recorder):
            if layer.scale:
                copied.gamma.assign(layer.gamma)
            if layer.center:
                copied.beta.assign(layer.beta)
            recorders.append((layer, copied))
        elif isinstance(layer, keras.layers.Layer):
            copied.set_weights(layer.get_weights())
    _check_complete(model, [layer for layer, _ in recorders])
    return twin, recorders


def _check_complete(model, reached):
    if not reached:
        raise ValueError(
            f"Model {model.name!r} has no batch normalisation to recalibrate. "
            "Train it until alpha is 1 with "
            "`keras_aqe.callbacks.AlphaScheduler`."
        )
    ids = {id(layer) for layer in reached}
    for layer in model._flatten_layers():
        if (
            isinstance(layer, keras.layers.BatchNormalization)
            and id(layer) not in ids
        ):
            raise ValueError(
                f"Batch normalisation {layer.name!r} is hidden inside a layer "
                "that is not a Functional or Sequential model, where "
                "`recalibrate` cannot reach it. Make that layer a model."
            )
