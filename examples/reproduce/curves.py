"""What is written down of a run after each epoch."""

import json
import time

import keras
import numpy as np
import tensorflow as tf

import keras_aqe as aqe
from examples.reproduce import store
from examples.reproduce.figures import BINS

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
        folder: Where the two files go; `None` writes none.
        data: The `Data` of the run, whose subsets are looked at.
        every: The hard network and the blend are looked at after so many
            epochs,
        last: and after that one.
    """

    def __init__(self, folder, data, every=1, last=None):
        super().__init__()
        self.folder, self.data = folder, data
        self.every, self.last = every, last

    def on_train_begin(self, logs=None):
        names = {layer.name for layer in self.model.layers}
        self.pictured = {KERNEL, ACTIVATION} <= names
        self.blend = None
        if aqe.callbacks.find(self.model):
            pictured = [ACTIVATION] if self.pictured else []
            self.blend = _blend(self.model, pictured)

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        line = {"epoch": epoch + 1, **logs}
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.last:
            self._look(line)
        line["seconds"] = time.monotonic() - self.began
        self._write("curves", {name: _round(line[name]) for name in line})

    def _look(self, line):
        for name in ("training", "validation"):
            subset = getattr(self.data, f"{name}_subset")
            hard = self.model.evaluate(subset, verbose=0, return_dict=True)
            line[f"hard_{name}_loss"] = hard["loss"]
            line[f"hard_{name}_accuracy"] = hard["accuracy"]
        if self.blend is not None:
            line["soft_validation_accuracy"], activations = self._soft()
            if self.pictured:
                self._write(
                    "histograms",
                    {
                        "epoch": line["epoch"],
                        "weights": _histogram(self._kernel()),
                        "activations": activations,
                    },
                )

    def _soft(self):
        """Returns the blend's accuracy and the histogram of activations."""
        hits, counts = [], 0
        for images, labels in self.data.validation_subset:
            logits, *activations = self.blend(images)
            hits.append(logits.numpy().argmax(-1) == labels.numpy())
            counts += np.array([_histogram(a.numpy()) for a in activations])
        return float(np.mean(np.concatenate(hits))), counts.ravel().tolist()

    def _kernel(self):
        layer = self.model.get_layer(KERNEL)
        kernel = tf.convert_to_tensor(layer.kernel)
        if layer.kernel_quantizer is not None:
            kernel = layer.kernel_quantizer.blend(kernel)
        return kernel.numpy()

    def _write(self, name, line):
        if self.folder is not None:
            with (self.folder / f"{name}.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")

    def read(self):
        """Returns the curves; of an epoch that was repeated, the last."""
        if self.folder is None:
            return []
        return store.epochs(self.folder / "curves.jsonl")


def _blend(model, names):
    """A function from images to soft logits and the named layers' outputs."""
    outputs = [model.get_layer(name).output for name in names]
    soft = keras.Model(model.inputs, [*model.outputs, *outputs])
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
        # A model of one output returns no list.
        outputs = tf.nest.flatten(soft(images, training=True))
        for layer in layers:
            layer.trainable = True
        return outputs

    return blend


def _histogram(values):
    return np.histogram(values, BINS)[0].tolist()


def _round(value):
    return float(f"{value:.5g}") if isinstance(value, float) else value
