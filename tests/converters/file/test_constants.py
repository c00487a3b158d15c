"""The constants of a file and of its operators, counted by hand."""

import keras
import pytest

from keras_aqe.converters import convert
from keras_aqe.converters.file import constants
from keras_aqe_runtime.file import flatbuffer


@pytest.fixture(scope="module")
def model():
    x = inputs = keras.Input((5, 3))
    x = keras.layers.LSTM(4, name="cell")(x)
    x = keras.layers.Dense(2, use_bias=False, name="dense")(x)
    return flatbuffer.read(convert(keras.Model(inputs, x), "lce").flatbuffer)


def numbers(model, name):
    return [
        index
        for index, found in enumerate(flatbuffer.operator_names(model))
        if found == name
    ]


@pytest.mark.slow
def test_of_an_operator(model):
    (dense,) = numbers(model, "FULLY_CONNECTED")
    sizes = constants.of_operators(model, [dense])
    assert list(sizes.values()) == [4 * 4 * 2]


def test_of_a_loop(model):
    """Its kernels are constants of the graph of its body."""
    (loop,) = numbers(model, "WHILE")
    sizes = constants.of_operators(model, [loop])
    kernels = 4 * (3 * 16 + 4 * 16 + 16)
    assert kernels <= sum(sizes.values()) < kernels + 200


def test_of_a_file_are_those_of_all_operators(model):
    everything = range(len(model.subgraphs[0].operators))
    of_operators = constants.of_operators(model, everything)
    of_file = constants.of_file(model)
    assert of_operators.items() <= of_file.items()
    # None is counted twice.
    buffers = {
        number: len(buffer.data)
        for number, buffer in enumerate(model.buffers)
        if buffer.data is not None
    }
    assert of_file.items() <= buffers.items()
