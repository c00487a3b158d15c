"""Networks as packed files, compared with Keras."""

import functools

import keras
import numpy as np

from keras_aqe import models
from keras_aqe.converters import Interpreter, convert
from keras_aqe_runtime.file import flatbuffer
from tests.converters.networks import computed
from tests.randomised import randomise

SHAPE = (16, 16, 3)


@functools.cache
def small(input_bits=1, weight_bits=1, pad_value=0.0):
    """A model and its packed file, made once for the tests that look at it."""
    model = models.MINWNet(
        *("D", input_bits, weight_bits, SHAPE),
        filters=6,
        dense_units=20,
        pad_value=pad_value,
    )
    randomise(model, seed=input_bits)
    return model, convert(model)


def operators(converted):
    return flatbuffer.operator_names(flatbuffer.read(converted.flatbuffer))


def assert_equal(model, x, **options):
    """Codes to the bit, and floats of the last output within rounding."""
    converted = convert(model, **options)
    expected = keras.tree.flatten(computed(model, x))
    received = keras.tree.flatten(Interpreter(converted.flatbuffer).predict(x))
    for ours, theirs in zip(expected[:-1], received[:-1]):
        np.testing.assert_array_equal(ours, theirs)
    limit = 1e-4 * np.abs(expected[-1]).max()
    np.testing.assert_allclose(expected[-1], received[-1], atol=limit)
    return converted
