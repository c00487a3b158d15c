import os
from typing import Any

import keras

from keras_aqe import backend, layers
from keras_aqe.callbacks.blend_history import before, run_as_in_training
from keras_aqe.callbacks.logs import Logs
from keras_aqe.metrics import quantized_kernels


class BlendHistograms(keras.callbacks.Callback):
    """Writes histograms of all blended values for TensorBoard.

    These are the values that training computes with,
    `alpha * h(x) + (1 - alpha) * x` (Chen et al., 2020, Eq. 18), which gather
    around the levels of `h` as alpha rises. The histograms are
    `blend/<layer>/kernel` and `blend/<layer>`, beside the scalar `alpha`.

    Args:
        log_dir: Folder of the logs, beside `keras.callbacks.TensorBoard`'s.
        x: Inputs that activations are computed for, one batch. `None` leaves
            the activations out. They are those of the `QuantActivation`
            layers of the model itself, not of nested ones.
        histogram_freq: Epochs from one writing to the next.

    Raises:
        ValueError: If `histogram_freq` is below 1.
        ImportError: If TensorFlow is not installed, which writes the logs
            under every backend of Keras.

    Example:

    ```python
    model.fit(
        x,
        y,
        epochs=20,
        callbacks=[
            aqe.callbacks.AlphaScheduler(),
            aqe.callbacks.BlendHistograms("logs", x[:100]),
        ],
    )
    ```
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        x: Any = None,
        histogram_freq: int = 1,
    ) -> None:
        super().__init__()
        if histogram_freq < 1:
            raise ValueError(
                "`histogram_freq` must be at least 1. "
                f"Received: histogram_freq={histogram_freq}"
            )
        self._summary = _tensorflow_summary()
        self.log_dir = log_dir
        self.x = x
        self.histogram_freq = histogram_freq

    def on_train_begin(self, logs: Logs = None) -> None:
        folder = os.path.join(self.log_dir, "blends")
        self._writer = self._summary.create_file_writer(folder)
        self._activations = []
        if self.x is not None:
            self._activations = [
                (layer, before(self.model, layer))
                for layer in self.model.layers
                if isinstance(layer, layers.QuantActivation)
            ]

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if epoch % self.histogram_freq:
            return
        backend.sync(self.model)
        with self._writer.as_default(step=epoch):
            alphas = []
            for name, quantizer, values in self._values():
                blend = quantizer.blend(keras.ops.convert_to_tensor(values))
                self._summary.histogram(
                    f"blend/{name}", keras.ops.convert_to_numpy(blend)
                )
                alphas.append(keras.ops.convert_to_numpy(quantizer.alpha))
            # The least: not all need to be the same.
            self._summary.scalar("alpha", min(alphas))
        self._writer.flush()

    def _values(self):
        for kernel, quantizer in quantized_kernels(self.model):
            yield kernel.path, quantizer, kernel
        for layer, model in self._activations:
            values = run_as_in_training(model, self.x)
            yield layer.name, layer.quantizer, values

    def on_train_end(self, logs: Logs = None) -> None:
        self._writer.close()


def _tensorflow_summary():
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ImportError(
            "`BlendHistograms` writes logs by TensorFlow, which is not "
            "installed: `pip install tensorflow`. Keras may run on another "
            "backend; `BlendHistory` and `keras_aqe.plots` need none."
        ) from error
    return tf.summary
