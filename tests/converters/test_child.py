"""Conversion under another backend, which TensorFlow stands in for here.

Under JAX and PyTorch themselves: tests/keras_aqe/backend.
"""

import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_aqe import layers, models
from keras_aqe.converters import ConversionError, child, convert, verify


@pytest.fixture
def elsewhere(monkeypatch):
    """Keras says that it runs on JAX, but to the child, which runs here."""

    def run(command, **_):
        with monkeypatch.context() as patches:
            patches.setattr(keras.backend, "backend", lambda: "tensorflow")
            patches.setattr(sys, "argv", ["child", command[-1]])
            child.main()
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(subprocess, "run", run)


def dense(*more):
    inputs = keras.Input((4,))
    x = layers.QuantDense(2, kernel_quantizer="binary")(inputs)
    for layer in more:
        x = layer(x)
    return keras.Model(inputs, x)


@pytest.fixture
def converted_here():
    model = models.MINWNet("D", 3, 1, (16, 16, 3), filters=2, dense_units=4)
    image = keras.layers.Rescaling(1 / 127.5, -1.0)
    x = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), "uint8")
    converted = convert(model, "tflite", image=image)
    return model, image, x, converted, verify(model, converted, x, image=image)


@pytest.mark.slow
def test_the_child_writes_the_same_file(converted_here, elsewhere):
    model, image, x, here, verification = converted_here
    said = "Keras runs on 'jax', .* 4 of 4 random .* verified: 4 examples"
    with pytest.warns(UserWarning, match=said):
        there = convert(model, "tflite", image=image)
    assert there.flatbuffer == here.flatbuffer
    assert there.report == here.report
    assert verify(model, there, x, image=image) == verification


def test_a_class_that_the_child_does_not_find_is_named(elsewhere, monkeypatch):
    @keras.saving.register_keras_serializable("tests")
    class Unknown(keras.layers.Layer):
        def call(self, inputs):
            return inputs

    model = dense(Unknown())
    monkeypatch.delitem(keras.saving.get_custom_objects(), "tests>Unknown")
    with pytest.raises(ConversionError, match="'Unknown'.* registered by"):
        convert(model)


def test_a_layer_that_differs_between_backends_is_noticed(elsewhere):
    @keras.saving.register_keras_serializable("tests")
    class Different(keras.layers.Layer):
        def call(self, inputs):
            here = keras.backend.backend() == "tensorflow"
            return inputs if here else inputs + 1

    with pytest.raises(ConversionError, match="something else under Tensor"):
        convert(dense(Different()))


def test_errors_are_those_of_the_function(elsewhere):
    with pytest.raises(ValueError, match="`target` must be one of") as raised:
        convert(dense(), "tpu")
    assert type(raised.value) is ValueError


def test_only_built_models_are_taken(elsewhere):
    with pytest.raises(ConversionError, match="'unbuilt', which is not built"):
        convert(keras.Sequential([keras.layers.Dense(2)], name="unbuilt"))


def test_a_child_that_dies_is_reported(elsewhere, monkeypatch):
    def run(command, **_):
        return subprocess.CompletedProcess(command, 1, stderr="no\nTensorFlow")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ConversionError, match="ended with 1: TensorFlow"):
        convert(dense())
