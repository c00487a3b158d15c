"""What batch normalisation's moving statistics cost in short runs.

A small MINW-Net learns scikit-learn's scanned digits (16x16). The hard
network's test accuracy is that with Keras's own moving statistics, with those
that `AlphaScheduler` leaves, and after `aqe.recalibrate`:

```shell
python -m examples.reproduce.stale_statistics
```
"""

import keras

import keras_aqe as aqe
from examples.reproduce.on_digits import fit, print_row, use_one_thread
from keras_aqe import datasets

# Epochs and batch size, by the number of batches at alpha = 1.
RUNS = [(6, 128), (3, 32), (30, 128), (12, 32)]


class KerasStatistics(keras.callbacks.Callback):
    """Keeps what Keras's moving averages are by themselves.

    Put it before the callback that changes them.
    """

    def on_train_begin(self, logs=None):
        self.layers = [
            layer
            for layer in self.model._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        self.values = self._read()

    def on_train_batch_begin(self, batch, logs=None):
        self.before = self._read()

    def on_train_batch_end(self, batch, logs=None):
        momentum = self.layers[0].momentum
        self.values = [
            momentum * value + now - momentum * before
            for value, now, before in zip(
                self.values, self._read(), self.before
            )
        ]

    def restore(self):
        for layer, mean, variance in zip(
            self.layers, self.values[::2], self.values[1::2]
        ):
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)

    def _read(self):
        return [
            keras.ops.convert_to_numpy(variable).astype("float64")
            for layer in self.layers
            for variable in (layer.moving_mean, layer.moving_variance)
        ]


def run(bits, epochs, batch_size, seed=0):
    """Trains and returns the four accuracies: training, then the three."""
    (x, y), (x_test, y_test) = datasets.digits(size=16)
    keras.utils.set_random_seed(seed)
    model = aqe.models.MINWNet(
        "D", bits, bits, input_shape=(16, 16, 1), filters=8, dense_units=32
    )
    plain = KerasStatistics()
    callbacks = [plain, aqe.callbacks.AlphaScheduler()]
    history = fit(model, x, y, epochs, batch_size, callbacks)

    def accuracy():
        return model.evaluate(x_test, y_test, verbose=0)[1]

    settled = accuracy()
    plain.restore()
    stale = accuracy()
    aqe.recalibrate(model, x, batch_size=512)
    return history.history["accuracy"][-1], stale, settled, accuracy()


def main():
    use_one_thread()
    names = ["epochs", "batch", "bits", "training"]
    print_row([*names, "Keras", "ours", "recalibrated"])
    print("|---" * 7 + "|")
    for epochs, batch_size in RUNS:
        for bits in (1, 2, 3):
            found = run(bits, epochs, batch_size)
            print_row([epochs, batch_size, bits, *(f"{a:.3f}" for a in found)])


if __name__ == "__main__":
    main()
