"""What a network must have gone through to be built as a hard one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_aqe as aqe
from keras_aqe import converters
from keras_aqe.converters.graph.build import build

X = np.random.RandomState(0).normal(size=(32, 6)).astype("float32")
Y = X[:, :2]


def network():
    def dense(units, inputs):
        return aqe.layers.QuantDense(
            units, input_quantizer=inputs, kernel_quantizer="binary"
        )

    inner = keras.Sequential(
        [keras.Input((8,)), dense(4, "ternary")], name="inner"
    )
    inputs = keras.Input((6,))
    x = keras.layers.BatchNormalization()(dense(8, None)(inputs))
    x = aqe.quantizers.Binary(stochastic=True)(aqe.layers.HardTanh()(inner(x)))
    return keras.Model(inputs, dense(2, None)(x))


class OwnStep(keras.Model):
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = keras.ops.mean((self(x, training=True) - y) ** 2)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss}


def fit(model, alpha=None, **kwargs):
    model.compile("adam", "mse", **{"jit_compile": False, **kwargs})
    callbacks = []
    if alpha is not None:
        callbacks = [aqe.callbacks.AlphaScheduler(lambda progress: alpha)]
    model.fit(X, Y, batch_size=16, verbose=0, callbacks=callbacks)
    return model


def with_a_tape(model):
    optimizer = keras.optimizers.SGD()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(X, training=True) - Y) ** 2)
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply(gradients, model.trainable_variables)
    return model


def on_a_batch(model):
    model.compile("sgd", "mse", run_eagerly=True)
    model.train_on_batch(X, Y)
    return model


def with_a_step_of_its_own(model):
    fit(OwnStep(model.inputs, model.outputs), run_eagerly=True)
    return model


WAYS_TO_TRAIN = {
    "in a graph": fit,
    "eagerly at 0.9": lambda model: fit(model, 0.9, run_eagerly=True),
    "by XLA": lambda model: fit(model, jit_compile=True),
    "train_on_batch": on_a_batch,
    "tape": with_a_tape,
    "train_step": with_a_step_of_its_own,
}


def saved(model, path, **kwargs):
    model.save(path)
    return keras.models.load_model(path, **kwargs)


def with_loaded_weights(model, path):
    model.save_weights(path)
    copy = network()
    copy.load_weights(path)
    return copy


def cloned(model):
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def compiled_again(model):
    model.compile("sgd", "mse")
    return model


def with_alpha_set_by_hand(model):
    aqe.set_alpha(model, 1.0)
    return model


# What leaves a model without the optimizer that trained it.
WAYS_ON = {
    "none": lambda model, folder: model,
    "load_model": lambda model, folder: saved(model, folder / "m.keras"),
    "load_model(compile=False)": lambda model, folder: saved(
        model, folder / "m.keras", compile=False
    ),
    "h5": lambda model, folder: saved(model, folder / "m.h5", compile=False),
    "load_weights": lambda model, folder: with_loaded_weights(
        model, folder / "m.weights.h5"
    ),
    "clone_model": lambda model, folder: cloned(model),
    "sub-model": lambda model, folder: keras.Model(
        model.inputs, model.get_layer("inner").output
    ),
    "nested": lambda model, folder: keras.Sequential(
        [keras.Input((6,)), model]
    ),
    "compile": lambda model, folder: compiled_again(model),
    "alpha by hand": lambda model, folder: with_alpha_set_by_hand(model),
}


@pytest.mark.slow
@pytest.mark.parametrize("train", WAYS_TO_TRAIN.values(), ids=WAYS_TO_TRAIN)
def test_a_soft_network_is_refused_however_it_was_trained(train):
    model = network()
    build(model)
    train(model)
    with pytest.raises(converters.ConversionError, match=r"alpha = 0\.[59]00"):
        build(model)
    build(model, allow_soft=True)
    aqe.set_alpha(model, 1.0)
    with_a_tape(model)
    build(model)


@pytest.fixture(scope="module")
def soft():
    return fit(network(), run_eagerly=True)


@pytest.fixture(scope="module")
def recalibrated(soft):
    model = cloned(soft)
    aqe.recalibrate(model, X)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("go", WAYS_ON.values(), ids=WAYS_ON)
def test_a_soft_network_is_refused_wherever_it_went(go, soft, tmp_path):
    model = cloned(soft)
    with pytest.raises(converters.ConversionError, match="recalibrate"):
        build(go(model, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("go", WAYS_ON.values(), ids=WAYS_ON)
def test_fresh_and_recalibrated_networks_convert(go, recalibrated, tmp_path):
    build(go(network(), tmp_path))
    build(go(cloned(recalibrated), tmp_path))


def test_one_soft_quantizer_is_enough():
    model = network()
    model.layers[-1].kernel_quantizer.trained_alpha.assign(0.999)
    name = model.layers[-1].name
    with pytest.raises(converters.ConversionError, match=f"'{name}'"):
        build(model)


@pytest.mark.slow
def test_a_soft_network_that_is_wanted_anyway(soft):
    with pytest.raises(converters.ConversionError, match="allow_soft=True"):
        converters.convert(soft, "tflite")
    converted = converters.convert(soft, "tflite", allow_soft=True)
    assert converters.verify(soft, converted, X).labels_equal
