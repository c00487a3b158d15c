import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe.callbacks import AlphaScheduler, WhenHard

X = np.random.RandomState(0).normal(size=(40, 4)).astype("float32")
Y = X[:, :1]


def compiled():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            aqe.layers.QuantDense(1, kernel_quantizer="binary"),
            keras.layers.BatchNormalization(),
        ]
    )
    model.compile("sgd", "mse", jit_compile=False)
    return model


class Score(keras.callbacks.Callback):
    """The best epoch is the first."""

    def on_epoch_end(self, epoch, logs=None):
        logs["score"] = epoch


class Seen(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.epochs, self.batches, self.others = [], 0, []

    def on_train_begin(self, logs=None):
        self.others.append("begin")

    def on_train_end(self, logs=None):
        self.others.append("end")

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(epoch)

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1


def fit(model, callbacks, schedule=None, epochs=10):
    history = model.fit(
        X,
        Y,
        batch_size=8,
        epochs=epochs,
        verbose=0,
        callbacks=[Score(), AlphaScheduler(schedule), *callbacks],
    )
    return history.history["alpha"]


@pytest.mark.slow
def test_only_hard_epochs_are_seen():
    seen = Seen()
    alphas = fit(compiled(), [WhenHard(seen)])
    hard = [epoch for epoch, alpha in enumerate(alphas) if alpha == 1]
    assert seen.epochs == hard == [8, 9]
    # Epoch 8 begins soft.
    assert seen.batches == 5
    assert seen.others == ["begin", "end"]


@pytest.mark.slow
def test_early_stopping_and_checkpoints_choose_hard_epochs(tmp_path):
    model, path = compiled(), tmp_path / "best.keras"
    stop = keras.callbacks.EarlyStopping(
        "score", patience=2, mode="min", restore_best_weights=True
    )
    best = keras.callbacks.ModelCheckpoint(
        path, "score", mode="min", save_best_only=True
    )
    schedule = aqe.schedules.Linear(start=0.1, until=0.5)
    alphas = fit(model, [WhenHard(stop, best)], schedule)
    # Alpha is 1 from epoch 5 on, which is the best; two more are waited for.
    assert stop.best_epoch == 5 and len(alphas) == 8
    for chosen in (model, keras.models.load_model(path)):
        assert not any(q.is_soft for q in aqe.callbacks.find(chosen))


@pytest.mark.slow
def test_a_run_that_never_became_hard_says_so():
    with pytest.warns(UserWarning, match="kept it from Seen"):
        fit(compiled(), [WhenHard(Seen())], aqe.schedules.Constant(0.5), 1)
