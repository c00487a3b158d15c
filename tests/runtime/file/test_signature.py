"""What files say of their inputs and outputs."""

import keras
import numpy as np
import pytest

from keras_aqe.converters import ConversionError, convert
from keras_aqe_runtime.file import flatbuffer, signature
from keras_aqe_runtime.file.signature import TensorSpec


@pytest.mark.parametrize(
    "shape, accepted",
    [
        ((1, 4, 3), True),
        ((7, 4, 3), True),
        ((0, 4, 9), True),
        ((1, 5, 3), False),
        ((4, 3), False),
        ((1, 1, 4, 3), False),
    ],
)
def test_a_spec_takes_any_number_of_examples(shape, accepted):
    spec = TensorSpec((2, 4, -1), np.dtype("float32"))
    assert spec.accepts(shape) == accepted
    assert str(spec) == "float32 of shape (None, 4, None)"


@pytest.fixture(scope="module")
def model():
    inputs = {
        "image": keras.Input((None, 2), name="image"),
        "count": keras.Input((3,), dtype="int32", name="count"),
    }
    outputs = {
        "b": keras.layers.Rescaling(2.0)(inputs["image"]),
        "a": keras.layers.Rescaling(2.0)(inputs["count"]),
    }
    file = convert(keras.Model(inputs, outputs), "tflite").flatbuffer
    return flatbuffer.read(file)


def test_shapes_and_types_of_inputs(model):
    graph = model.subgraphs[0]
    specs = {
        str(signature.spec(graph, index)): name[-5:]
        for index, name in zip(graph.inputs, signature.names(model, "input"))
    }
    assert specs == {
        "float32 of shape (None, None, 2)": "image",
        "int32 of shape (None, 3)": "count",
    }


def test_names_without_a_signature_are_those_of_tensors(model):
    graph = model.subgraphs[0]
    assert len(signature.names(model, "output")) == 2
    signatures, model.signatureDefs = model.signatureDefs, None
    try:
        assert signature.names(model, "output") == [
            graph.tensors[index].name.decode() for index in graph.outputs
        ]
    finally:
        model.signatureDefs = signatures


def test_a_type_that_is_no_arrays(model):
    graph = model.subgraphs[0]
    tensor = graph.tensors[graph.inputs[0]]
    before, tensor.type = tensor.type, flatbuffer.schema.TensorType.STRING
    try:
        with pytest.raises(ConversionError, match="type that is no array"):
            signature.spec(graph, graph.inputs[0])
    finally:
        tensor.type = before
