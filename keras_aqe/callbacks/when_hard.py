import warnings

import keras

from keras_aqe.alpha import find
from keras_aqe.callbacks.logs import Logs


class WhenHard(keras.callbacks.CallbackList):
    """Lets callbacks that choose an epoch choose among hard ones only.

    `evaluate` measures the hard network, which is poor and no guide while
    alpha is below 1. So `EarlyStopping` stops too early, and
    `ModelCheckpoint(save_best_only=True)` keeps an epoch of low alpha, which
    `convert` refuses. The callbacks in here see the ends of epochs and batches
    only from the first epoch that ends at alpha = 1.

    Args:
        *callbacks: Keras callbacks.

    Example:

    ```python
    model.fit(
        x,
        y,
        validation_split=0.1,
        epochs=50,
        callbacks=[
            aqe.callbacks.AlphaScheduler(),
            aqe.callbacks.WhenHard(
                keras.callbacks.EarlyStopping(
                    "val_loss", patience=3, restore_best_weights=True
                ),
                keras.callbacks.ModelCheckpoint(
                    "best.keras", "val_accuracy", save_best_only=True
                ),
            ),
        ],
    )
    ```
    """

    def __init__(self, *callbacks: keras.callbacks.Callback) -> None:
        super().__init__(list(callbacks))

    def on_train_begin(self, logs: Logs = None) -> None:
        self._is_hard = False
        super().on_train_begin(logs)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if self._is_hard:
            super().on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        quantizers = find(self.model)
        self._is_hard = not any(quantizer.is_soft for quantizer in quantizers)
        if self._is_hard:
            super().on_epoch_end(epoch, logs)

    def on_train_end(self, logs: Logs = None) -> None:
        if not self._is_hard:
            names = [type(callback).__name__ for callback in self.callbacks]
            warnings.warn(
                "The last epoch did not end at alpha = 1, so `WhenHard` kept "
                f"it from {', '.join(names)}. Train on with an "
                "`AlphaScheduler`.",
                stacklevel=2,
            )
        super().on_train_end(logs)
