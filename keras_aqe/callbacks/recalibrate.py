from typing import Any

import keras

from keras_aqe import backend
from keras_aqe.callbacks.logs import Logs
from keras_aqe.recalibrate import recalibrate


class Recalibrate(keras.callbacks.Callback):
    """Calls `keras_aqe.recalibrate` on the model at the end of training.

    For runs that end before alpha is 1, by `EarlyStopping` for instance: the
    statistics of batch normalisation are then those of the hard network,
    which `keras_aqe.converters.convert` takes. Put it behind callbacks that
    restore weights at the end of training.

    Args:
        data: Training images, as `keras_aqe.recalibrate` takes them.
        batch_size: Examples in a batch where `data` is arrays. `None` means
            32, as in Keras.
        steps: Number of batches; needed for an endless dataset.
        verbose: 0 for silence, 1 for a progress bar, 2 for one line.

    Example:

    ```python
    model.fit(
        x,
        y,
        epochs=20,
        callbacks=[
            aqe.callbacks.AlphaScheduler(),
            keras.callbacks.EarlyStopping("loss"),
            aqe.callbacks.Recalibrate(x, batch_size=256),
        ],
    )
    ```
    """

    def __init__(
        self,
        data: Any,
        batch_size: int | None = None,
        steps: int | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__()
        self.data = data
        self.batch_size = batch_size
        self.steps = steps
        self.verbose = verbose

    def on_train_end(self, logs: Logs = None) -> None:
        # Functions of backends may keep what they trained to themselves.
        backend.sync(self.model)
        recalibrate(
            self.model,
            self.data,
            batch_size=self.batch_size,
            steps=self.steps,
            verbose=self.verbose,
        )
