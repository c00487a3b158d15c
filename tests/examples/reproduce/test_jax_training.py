"""Runs on JAX: without TensorFlow, in pieces, for TensorFlow."""

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe import converters

pytestmark = pytest.mark.program


def test_a_file_is_read_without_tensorflow(trained_on_jax):
    _, results = trained_on_jax
    assert results["read"] == [True, True, True]
    assert not results["tensorflow"]


def test_a_run_that_is_stopped_ends_as_an_unbroken_one(trained_on_jax):
    _, results = trained_on_jax
    # After each of three epochs, before the test.
    assert results["stopped"] == {"calls": 4, "same": True}


def test_the_network_loads_and_converts_under_tensorflow(trained_on_jax):
    folder, _ = trained_on_jax
    model = keras.models.load_model(folder / "unbroken" / "model.keras")
    assert {float(q.alpha) for q in aqe.callbacks.find(model)} == {1.0}
    x = np.random.default_rng(0).normal(size=(8, *model.input_shape[1:]))
    converted = converters.convert(model, "packed")
    assert converters.verify(model, converted, x.astype("float32")).faultless
