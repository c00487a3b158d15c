"""The training that comparisons on digits share."""

import keras
import numpy as np
import pytest

from examples.reproduce.on_digits import fit


def test_the_learning_rate_falls_to_a_fiftieth(eager):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    x = np.random.default_rng(0).normal(size=(10, 4)).astype("float32")
    history = fit(model, x, np.arange(10) % 3, 3, 4, [])
    assert len(history.history["accuracy"]) == 3
    assert int(model.optimizer.iterations) == 9
    rate = float(model.optimizer.learning_rate)
    assert rate == pytest.approx(0.01 * 0.02)
