"""Which layer an operator and an engine's message belong to."""

import keras
import pytest

from keras_aqe import layers
from keras_aqe.converters import convert
from keras_aqe.converters.graph.build import build
from keras_aqe.converters.targets import TARGETS
from keras_aqe.converters.targets.ownership import layer_in
from keras_aqe_runtime.file import flatbuffer, metadata


@pytest.fixture(scope="module", params=TARGETS)
def converted(request):
    """The graph and the file of two quantized layers and a plain one."""
    inputs = keras.Input((8,))
    x = layers.QuantDense(
        6, input_quantizer="binary", kernel_quantizer="binary", name="first"
    )(inputs)
    x = layers.QuantDense(
        5, input_quantizer="ternary", kernel_quantizer="ternary", name="second"
    )(keras.layers.BatchNormalization()(x))
    model = keras.Model(inputs, keras.layers.Dense(4, name="plain")(x))
    file = flatbuffer.read(convert(model, request.param).flatbuffer)
    return build(model), file


def test_each_layer_has_operators_of_its_own(converted):
    _, file = converted
    rows = metadata.read(file)["layers"]
    assert [row["name"] for row in rows] == ["first", "second", "plain"]
    owned = [i for row in rows for i in row["operators"] + row["beside"]]
    assert len(owned) == len(set(owned))
    assert all(row["operators"] for row in rows)


@pytest.mark.parametrize("target", TARGETS)
def test_equal_layers_share_what_carries_them(target):
    inputs = keras.Input((4, 4, 8))
    codes = layers.QuantActivation("binary")(inputs)
    outputs = []
    for x in (inputs, codes):
        for _ in range(2):
            conv = layers.QuantConv2D(
                4, 3, kernel_quantizer="binary", kernel_initializer="ones"
            )
            outputs.append(conv(x))
    for _ in range(2):
        plain = keras.layers.Conv2D(3, 3, kernel_initializer="ones")
        outputs.append(plain(inputs))
    model = keras.Model(inputs, outputs)
    rows = convert(model, target, strict=False).report
    for one, other in zip(rows[::2], rows[1::2], strict=True):
        assert one.op == other.op != "folded"
        assert one.weight_bytes == other.weight_bytes > 0
    size = len(convert(model, target, strict=False).flatbuffer)
    assert rows.bytes == size


def test_messages_lead_to_layers(converted):
    graph, file = converted
    names = flatbuffer.operator_names(file)
    for row in metadata.read(file)["layers"][:2]:
        (index, *_) = row["operators"]
        for message in (
            f"a fault (operator {index})",
            f"Node number {index} ({names[index]}) failed to prepare.",
        ):
            assert layer_in(message, file, graph) is not None


def test_messages_without_an_operator_lead_nowhere(converted):
    graph, file = converted
    for message in ("out of memory", "Node number 9999 (ADD) failed"):
        assert layer_in(message, file, graph) is None
