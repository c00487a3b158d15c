"""What is written down of a run after each epoch."""

import json
import time

import keras
import numpy as np
import tensorflow as tf

import keras_aqe as aqe

BINS = np.linspace(-1.05, 1.05, 85)
# The layers of Figures 1 to 4.
KERNEL, ACTIVATION = "conv2", "conv2_quant"


class Curves(keras.callbacks.Callback):
    """Writes lines of JSON after each epoch, which survive a restart.

    `curves.jsonl` has losses and accuracies. `loss` and `accuracy` are those
    of the steps of training, so of the blend; `hard_` ones are of the network
    as it is shipped, `soft_` ones of the blend with the moving statistics of
    batch normalisation.

    `histograms.jsonl` has, for a MINW-Net, how often the blended weights and
    activations of the second convolution fall between neighbouring `BINS`.

    Args:
        folder: Where the two files go.
        data: The `Data` of the run; of its training and validation images
            the subsets are taken.
    """

    def __init__(self, folder, data):
        super().__init__()
        self.path = folder / "curves.jsonl"
        self.histograms_path = folder / "histograms.jsonl"
        self.data = data

    def on_train_begin(self, logs=None):
        names = {layer.name for layer in self.model.layers}
        self.pictured = {KERNEL, ACTIVATION} <= names
        self.blend = None
        if aqe.callbacks.find(self.model):
            self.blend = _blend(self.model, ACTIVATION * self.pictured)

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        line = {"epoch": epoch + 1, **logs}
        for name in ("training", "validation"):
            subset = getattr(self.data, f"{name}_subset")
            loss, accuracy = self.model.evaluate(subset, verbose=0)
            line[f"hard_{name}_loss"] = loss
            line[f"hard_{name}_accuracy"] = accuracy
        if self.blend is not None:
            soft = self._soft(epoch)
            line["soft_validation_accuracy"] = soft
        line["seconds"] = time.monotonic() - self.began
        _append(self.path, {name: _round(line[name]) for name in line})

    def _soft(self, epoch):
        """Returns the blend's accuracy; writes the histograms."""
        hits, histogram = [], 0
        for images, labels in self.data.validation_subset:
            logits, *activations = self.blend(images)
            hits.append(logits.numpy().argmax(-1) == labels.numpy())
            for values in activations:
                histogram += np.histogram(values.numpy(), BINS)[0]
        if self.pictured:
            layer = self.model.get_layer(KERNEL)
            kernel = tf.convert_to_tensor(layer.kernel)
            if layer.kernel_quantizer is not None:
                kernel = layer.kernel_quantizer(kernel, training=True)
            line = {
                "epoch": epoch + 1,
                "weights": np.histogram(kernel.numpy(), BINS)[0].tolist(),
                "activations": histogram.tolist(),
            }
            _append(self.histograms_path, line)
        return float(np.mean(np.concatenate(hits)))

    def read(self):
        """Returns the curves; of an epoch that was repeated, the last."""
        lines = map(json.loads, self.path.read_text().splitlines())
        return list({line["epoch"]: line for line in lines}.values())


def _blend(model, activation):
    """A function from images to soft logits and the named layer's output."""
    outputs = [model.output]
    if activation:
        outputs.append(model.get_layer(activation).output)
    soft = keras.Model(model.inputs, outputs)
    layers = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]

    @tf.function
    def blend(images):
        # A layer that is not trainable uses its moving statistics.
        for layer in layers:
            layer.trainable = False
        outputs = soft(images, training=True)
        for layer in layers:
            layer.trainable = True
        return outputs

    return blend


def _append(path, line):
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def _round(value):
    return float(f"{value:.5g}") if isinstance(value, float) else value
