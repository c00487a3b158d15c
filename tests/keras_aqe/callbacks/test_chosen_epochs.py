"""What is said of soft epochs that callbacks keep."""

import keras
import pytest

import keras_aqe as aqe
from keras_aqe.callbacks import AlphaScheduler
from tests.combinations import each_once
from tests.keras_aqe.callbacks.test_when_hard import Score, X, Y, compiled, fit


@pytest.mark.slow
@pytest.mark.parametrize(
    "before, nested", each_once([True, False], [False, True])
)
def test_without_it_a_soft_epoch_is_restored_and_said_to_be(before, nested):
    model = compiled()
    stop = keras.callbacks.EarlyStopping(
        "score", patience=2, mode="min", restore_best_weights=True
    )
    if nested:
        stop = keras.callbacks.CallbackList([stop])
    callbacks = [stop, AlphaScheduler()]
    if not before:
        callbacks.reverse()
    with pytest.warns(UserWarning, match="alpha = 0.1.*WhenHard"):
        model.fit(X, Y, epochs=10, verbose=0, callbacks=[Score(), *callbacks])
    assert any(q.is_soft for q in aqe.callbacks.find(model))


@pytest.mark.slow
@pytest.mark.parametrize(
    "before, save_freq", each_once([True, False], ["epoch", 5])
)
def test_without_it_a_soft_epoch_is_saved_and_said_to_be(
    before, save_freq, tmp_path
):
    path = tmp_path / "best.keras"
    best = keras.callbacks.ModelCheckpoint(
        path, "loss", mode="max", save_best_only=True, save_freq=save_freq
    )
    callbacks = [best, AlphaScheduler()]
    if not before:
        callbacks.reverse()
    model = compiled()
    with pytest.warns(UserWarning, match="best.keras' kept.*WhenHard") as said:
        model.fit(X, Y, batch_size=8, epochs=10, verbose=0, callbacks=callbacks)
    assert len(said) == 1
    assert not any(q.is_soft for q in aqe.callbacks.find(model))
    saved = keras.models.load_model(path)
    assert any(q.is_soft for q in aqe.callbacks.find(saved))


@pytest.mark.slow
def test_nothing_is_said_of_a_hard_epoch(tmp_path, recwarn):
    """Not of the soft epochs that were best before it, and kept no longer."""
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.keras", "score", mode="max", save_best_only=True
    )
    every = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    fit(compiled(), [best, every])
    assert not [str(w.message) for w in recwarn if "alpha" in str(w.message)]
