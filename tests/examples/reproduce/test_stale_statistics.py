"""Keras's moving statistics, whoever changes them on the way."""

import keras
import numpy as np
import pytest

from examples.reproduce.stale_statistics import KerasStatistics

X = np.random.default_rng(0).normal(size=(24, 3)).astype("float32")


class Change(keras.callbacks.Callback):
    """Stands in for a callback that keeps statistics of its own."""

    def on_train_batch_end(self, batch, logs=None):
        layer = self.model.layers[0]
        layer.moving_mean.assign(layer.moving_mean + batch + 1)


def statistics(callbacks):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.BatchNormalization(momentum=0.8),
            keras.layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(
        *(X, X[:, :1]),
        batch_size=8,
        epochs=2,
        verbose=0,
        callbacks=callbacks,
    )
    for callback in callbacks[:1]:
        callback.restore()
    layer = model.layers[0]
    return np.stack([layer.moving_mean, layer.moving_variance])


@pytest.mark.slow
def test_are_those_of_a_run_that_nothing_changes():
    found = statistics([KerasStatistics(), Change()])
    np.testing.assert_allclose(found, statistics([]), rtol=1e-5, atol=1e-5)
