from collections.abc import Sequence

import keras

from keras_aqe import metrics as metrics_
from keras_aqe.callbacks.logs import Logs
from keras_aqe.callbacks.order import calling_list, move_to_front


class KernelMetrics(keras.callbacks.Callback):
    """Logs metrics of the model's quantized kernels, once an epoch.

    The results appear in the logs, and so in `History`, TensorBoard and the
    like, under the metrics' names, whatever the order of the callbacks.

    Args:
        metrics: Metrics whose `update_state` takes the model. `None` means
            `keras_aqe.metrics.FlipRatio()` and
            `keras_aqe.metrics.QuantizationGap()`.
        update_freq: `"epoch"` updates them at the end of each epoch, so that
            the flip ratio compares epochs; `"batch"` after each batch
            (with `steps_per_execution`, after each execution), which reads
            all kernels each time.

    Raises:
        ValueError: If `update_freq` is neither, or if the model has no
            quantized kernel.

    Example:

    ```python
    history = model.fit(x, y, callbacks=[aqe.callbacks.KernelMetrics()])
    history.history["flip_ratio"]
    ```
    """

    def __init__(
        self,
        metrics: Sequence[keras.metrics.Metric] | None = None,
        update_freq: str = "epoch",
    ) -> None:
        super().__init__()
        if update_freq not in ("epoch", "batch"):
            raise ValueError(
                "`update_freq` must be 'epoch' or 'batch'. "
                f"Received: update_freq={update_freq!r}"
            )
        if metrics is None:
            metrics = [metrics_.FlipRatio(), metrics_.QuantizationGap()]
        self.metrics = list(metrics)
        self.update_freq = update_freq

    def on_train_begin(self, logs: Logs = None) -> None:
        move_to_front(self, calling_list(self))
        # What the first epoch is compared with.
        self._update()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        for metric in self.metrics:
            metric.reset_state()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if self.update_freq == "batch":
            self._update()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.update_freq == "epoch":
            self._update()
        if logs is not None:
            logs.update({m.name: float(m.result()) for m in self.metrics})

    def _update(self):
        for metric in self.metrics:
            metric.update_state(self.model)
