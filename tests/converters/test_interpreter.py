"""What `Interpreter` and its like take, and what they return."""

import keras
import numpy as np
import pytest

from keras_aqe import layers
from keras_aqe.converters import (
    ConversionError,
    Interpreter,
    convert,
)
from keras_aqe_runtime.file import flatbuffer
from tests.converters.two_inputs import (
    BINARY,
    batches,
)


@pytest.mark.parametrize("examples", [0, 1, 2, 5])
def test_a_file_for_a_fixed_number_of_examples(examples):
    """Batches are cut and filled up."""
    inputs = keras.Input((4,), batch_size=2)
    model = keras.Model(inputs, layers.QuantDense(3, **BINARY)(inputs))
    file = flatbuffer.read(convert(model, "tflite").flatbuffer)
    graph = file.subgraphs[0]
    for index in (*graph.inputs, *graph.outputs):
        tensor = graph.tensors[index]
        tensor.shape = [2, *tensor.shape[1:]]
        tensor.shapeSignature = None
    file.metadata = None
    x = batches(examples)[1]
    received = Interpreter(flatbuffer.write(file)).predict(x)
    np.testing.assert_array_equal(model(x), received)


def test_an_engine_that_refuses_is_quoted():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.QuantDense(3, **BINARY)(inputs))
    file = flatbuffer.read(convert(model, "packed").flatbuffer)
    code = next(c for c in file.operatorCodes if c.customCode)
    code.customCode = b"AqeUnknown"
    file.metadata = None
    with pytest.raises(ConversionError, match="LiteRT refuses.*AqeUnknown"):
        Interpreter(flatbuffer.write(file)).predict(np.ones((1, 4), "f"))


@pytest.mark.parametrize("num_threads", [0, -1, 1.5, None, "2"])
def test_a_wrong_number_of_threads(converted, num_threads):
    with pytest.raises(ValueError, match="num_threads.*Received"):
        Interpreter(converted, num_threads)
