"""A run goes on from the chief's checkpoint, whichever worker asks."""

import keras
import numpy as np
import pytest

from examples.reproduce.backup import Backup

X, Y = np.random.default_rng(0).normal(size=(2, 12, 1)).astype("float32")


def compiled():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("adam", "mse", run_eagerly=True)
    return model


@pytest.mark.slow
def test_all_workers_restore_the_chiefs_backup(tmp_path):
    model = compiled()
    model.fit(
        *(X, Y),
        batch_size=4,
        epochs=2,
        verbose=0,
        callbacks=[Backup(tmp_path, worker=0)],
    )
    for worker in (0, 1):
        other = compiled()
        assert Backup(tmp_path, worker).restore(other) == 2 * 3
        for ours, theirs in zip(model.get_weights(), other.get_weights()):
            np.testing.assert_array_equal(ours, theirs)


def test_without_a_backup_a_run_begins(tmp_path):
    model = compiled()
    before = model.get_weights()
    assert Backup(tmp_path, worker=0).restore(model) == 0
    np.testing.assert_array_equal(before[0], model.get_weights()[0])
