"""Callbacks that write into the logs, whatever stands before them."""

import keras
import pytest

from keras_aqe.callbacks import AlphaScheduler, KernelMetrics
from tests.keras_aqe.callbacks.fitting import X, Y, compiled


class Seen(keras.callbacks.Callback):
    """What a callback reads of each epoch's logs, and how often its turn is."""

    def __init__(self):
        super().__init__()
        self.names, self.begun = [], 0

    def on_train_begin(self, logs=None):
        self.begun += 1

    def on_epoch_end(self, epoch, logs=None):
        self.names.append(set(logs))


@pytest.mark.slow
def test_alpha_and_metrics_are_in_the_logs_of_all():
    seen = [Seen() for _ in range(3)]
    callbacks = [
        seen[0],
        AlphaScheduler(),
        seen[1],
        KernelMetrics(),
        seen[2],
    ]
    history = compiled().fit(X, Y, epochs=2, verbose=0, callbacks=callbacks)
    written = {"alpha", "flip_ratio", "quantization_gap"}
    for callback in seen:
        assert callback.begun == 1
        assert all(written <= names for names in callback.names)
        assert len(callback.names) == 2
    assert written <= set(history.history)
