"""A small model and its training, for tests of callbacks."""

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe.callbacks import (
    find,
)


def nested_model():
    inner = keras.Sequential(
        [
            keras.Input((4,)),
            aqe.layers.QuantDense(
                6, input_quantizer="ternary", kernel_quantizer="binary"
            ),
        ]
    )
    inputs = keras.Input((4,))
    x = aqe.layers.QuantActivation("po2_3")(inputs)
    return keras.Model(inputs, keras.layers.Dense(1)(inner(x)))


def compiled(run_eagerly=True, **kwargs):
    """Few steps take less than it takes to compile a graph for them."""
    model = nested_model()
    model.compile("sgd", "mse", run_eagerly=run_eagerly, **kwargs)
    return model


X, Y = np.random.RandomState(0).normal(size=(2, 40, 4)).astype("float32")


Y = Y[:, :1]


SEVERAL_BATCHES = pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="under PyTorch `steps_per_execution` is 1",
)


OWN_TRAIN_STEP = pytest.mark.skipif(
    keras.backend.backend() == "jax",
    reason="under JAX `train_step` takes the state of training, too",
)


class Record(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.alphas = []

    def on_train_batch_end(self, batch, logs=None):
        alphas = {float(q.alpha) for q in find(self.model)}
        assert len(alphas) == 1
        self.alphas.append(alphas.pop())


def fit(model, callback, **kwargs):
    record = Record()
    history = model.fit(
        X,
        Y,
        batch_size=8,
        shuffle=False,
        verbose=0,
        callbacks=[callback, record, *kwargs.pop("callbacks", [])],
        **kwargs,
    )
    return record.alphas, history.history
