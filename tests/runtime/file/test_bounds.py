"""Files that stock interpreters crash on are refused."""

import keras
import numpy as np
import pytest

from keras_aqe import models
from keras_aqe.converters import (
    ConversionError,
    Interpreter,
    convert,
)
from keras_aqe_runtime.file import flatbuffer


def _scale_kernel(graph, index):
    kernel = graph.tensors[graph.operators[index].inputs[1]]
    count = len(kernel.quantization.scale)
    kernel.quantization.scale = np.full(count, 1e6, "float32")


def _lose_scale(graph, index):
    image = graph.tensors[graph.operators[index].inputs[0]]
    image.quantization.scale = np.array([1e-44], "float32")


def _move_zero(graph, index):
    image = graph.tensors[graph.operators[index].inputs[0]]
    image.quantization.zeroPoint = np.array([1 << 15])


def _write_twice(graph, index):
    graph.operators[index] = graph.operators[index - 1]


def _grow_input(graph, index):
    image = graph.tensors[graph.inputs[0]]
    image.shape = [1, 32, 1 << 25, 3]


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage, match",
    [
        (_scale_kernel, "scales too large for CONV_2D"),
        (_lose_scale, "no normal number"),
        (_move_zero, "zero point that its type"),
        (_write_twice, "a value already"),
        (_grow_input, "more elements than interpreters count"),
    ],
)
def test_what_stock_interpreters_crash_on_is_refused(damage, match):
    """LiteRT 2.3 ends in a segmentation fault or corrupts its heap."""
    model = models.MINWNet(filters=4, dense_units=8)
    parsed = flatbuffer.read(convert(model, "tflite").flatbuffer)
    parsed.metadata = None
    Interpreter(flatbuffer.write(parsed))
    names = flatbuffer.operator_names(parsed)
    graph = parsed.subgraphs[0]
    index = [
        i
        for i, name in enumerate(names)
        if name == "CONV_2D" and not flatbuffer.is_float(parsed, i)
    ][0]
    damage(graph, index)
    with pytest.raises(ConversionError, match=match):
        Interpreter(flatbuffer.write(parsed))


@pytest.mark.slow
@pytest.mark.parametrize(
    "input_, number, match",
    [
        (1, 3, "place 3 of an axis of 3"),
        (1, -4, "place -4 of an axis of 3"),
        (3, -7, "step -7 where one element is taken"),
    ],
)
def test_one_element_is_taken_where_the_axis_is(input_, number, match):
    """LiteRT 2.3 reads beyond its axis."""
    inputs = keras.Input((2, 3))
    model = keras.Model(inputs, keras.layers.LSTM(2)(inputs))
    parsed = flatbuffer.read(convert(model, "tflite").flatbuffer)
    parsed.metadata = None
    graph = parsed.subgraphs[0]
    names = flatbuffer.operator_names(parsed)
    changed = 0
    for name, operator in zip(names, graph.operators):
        source = graph.tensors[operator.inputs[0]]
        if name != "STRIDED_SLICE" or list(source.shape) != [3]:
            continue
        tensor = graph.tensors[operator.inputs[input_]]
        tensor.buffer = len(parsed.buffers)
        parsed.buffers.append(flatbuffer.schema.BufferT())
        parsed.buffers[-1].data = np.frombuffer(
            np.int32(number).tobytes(), "uint8"
        )
        changed += 1
    assert changed
    with pytest.raises(ConversionError, match=match):
        Interpreter(flatbuffer.write(parsed))
