"""What a report lists, and whether its numbers add up."""

import dataclasses

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe import layers, models
from keras_aqe.converters import convert, report
from keras_aqe_runtime.file import flatbuffer, metadata
from tests.converters.networks import TARGETS, check_report
from tests.randomised import randomise

K = keras.layers


class Affine(keras.layers.Layer):
    """A user's own layer."""

    def build(self, shape):
        self.matrix = self.add_weight(shape=(shape[-1], 7))
        self.shift = self.add_weight(shape=(7,))

    def call(self, x):
        return keras.ops.matmul(x, self.matrix) + self.shift


def rows_of(model, target="tflite", **arguments):
    converted = convert(model, target, **arguments)
    check_report(model, converted)
    report = converted.report
    return {row.name: row for row in (*report, *report.normalizations)}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("strict", [True, False])
def test_a_float_network(target, strict):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            K.Conv2D(4, 3, name="conv"),
            K.BatchNormalization(name="norm"),
            K.ReLU(),
            K.Flatten(),
            K.Dense(5, name="dense"),
        ]
    )
    randomise(model)
    converted = convert(model, target, strict)
    check_report(model, converted)
    conv, dense = converted.report
    assert (conv.name, conv.op) == ("conv", "CONV_2D")
    assert (dense.name, dense.op) == ("dense", "FULLY_CONNECTED")
    summary = aqe.summary(model, print_fn=str)
    for row, expected in zip(converted.report, summary.rows, strict=True):
        assert row.macs == expected.macs
        assert row.weight_bytes == expected.memory == 4 * expected.weights
        assert (row.operation, row.kind) == ("MAC", "float")
        assert row.note == "plain layer"
    assert converted.report.macs_by_kind == {"float": summary.macs}
    (norm,) = converted.report.normalizations
    assert (norm.name, norm.op, norm.bytes) == ("norm", "folded", 0)


# A layer, the shape of its input, its multiply-accumulates and its operators.
PLAIN = [
    (K.Conv1D(4, 3), (9, 2), 7 * 24, "CONV_2D"),
    (K.Conv2D(4, 3, padding="same", groups=2), (5, 5, 2), 900, "CONV_2D"),
    (K.Conv2DTranspose(4, 3, strides=2), (5, 5, 2), 1800, "TRANSPOSE_CONV"),
    (K.Conv3D(2, 2), (3, 3, 3, 1), 8 * 16, "CONV_3D"),
    (K.Dense(5), (6,), 30, "FULLY_CONNECTED"),
    (K.Dense(5), (3, 6), 90, "FULLY_CONNECTED"),
    (K.DepthwiseConv2D(3), (5, 5, 2), 162, "DEPTHWISE_CONV_2D"),
    (K.EinsumDense("ab,bc->ac", 5), (6,), 30, "FULLY_CONNECTED"),
    (
        *(K.SeparableConv2D(4, 3), (5, 5, 2), 9 * 18 + 9 * 8),
        "DEPTHWISE_CONV_2D, CONV_2D",
    ),
    (K.TimeDistributed(K.Dense(3)), (5, 2), 30, "5 FULLY_CONNECTED"),
    (K.LSTM(4, unroll=True), (3, 2), 3 * 96, "6 FULLY_CONNECTED"),
    (K.PReLU(), (6,), 0, "PRELU"),
    (Affine(), (6,), 42, "FULLY_CONNECTED"),
]


@pytest.mark.slow
def test_plain_layers():
    inputs = [keras.Input(shape) for _, shape, _, _ in PLAIN]
    outputs = [layer(x) for x, (layer, *_) in zip(inputs, PLAIN)]
    model = with_random_weights(keras.Model(inputs, outputs))
    rows = rows_of(model)
    for layer, _, macs, op in PLAIN:
        row = rows[layer.name]
        assert (row.macs, row.op) == (macs, op)
        sizes = [4 * np.size(weight) for weight in layer.get_weights()]
        # Beside its weights it may hold shapes and axes.
        assert sum(sizes) <= row.bytes < sum(sizes) + 200
        assert max(sizes) <= row.weight_bytes <= row.bytes


def with_random_weights(model):
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.uniform(0.5, 1, weight.shape))
    return model


def test_lookups_and_attention():
    inputs = keras.Input((6,), dtype="int32")
    x = K.Embedding(10, 8, name="table")(inputs)
    x = K.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = K.LayerNormalization(name="layer_norm")(x)
    model = with_random_weights(keras.Model(inputs, x))
    rows = rows_of(model)
    assert list(rows) == ["table", "attention", "layer_norm"]
    assert "GATHER" in rows["table"].op and rows["table"].macs == 0
    assert rows["table"].weight_bytes >= 4 * 10 * 8
    # Four projections, and twice the products of each pair of positions.
    assert rows["attention"].macs == 4 * 6 * 64 + 2 * 6 * 6 * 8
    assert rows["layer_norm"].bytes >= 4 * 16


def mixed():
    """Layers of all kinds between quantized ones, some in a nested model."""
    inner_inputs = keras.Input((6, 6, 4))
    y = layers.QuantConv2D(
        *(4, 3), padding="same", kernel_quantizer="ternary", name="inner_quant"
    )(inner_inputs)
    y = K.BatchNormalization(name="inner_folded")(y)
    y = layers.QuantActivation("binary")(y)
    y = K.Conv2D(4, 1, name="inner_plain")(y)
    inner = keras.Model(inner_inputs, y, name="inner")
    x = inputs = keras.Input((8, 8, 3))
    x = K.Conv2D(4, 3, name="first")(x)
    x = K.BatchNormalization(name="before_quantizer")(x)
    x = inner(layers.QuantActivation("binary")(x))
    x = K.PReLU(name="prelu")(x)
    skip = x
    x = layers.QuantConv2D(
        *(4, 3), padding="same", name="quant", input_quantizer="binary",
        kernel_quantizer="binary",
    )(x)  # fmt: skip
    x = K.BatchNormalization(name="alone")(K.Add()([x, skip]))
    x = K.Dense(5, name="dense")(K.Flatten()(x))
    return randomise(keras.Model(inputs, x))


@pytest.fixture(scope="module", params=TARGETS)
def converted(request):
    model = mixed()
    converted = convert(model, request.param)
    check_report(model, converted)
    return converted


def test_every_layer_is_listed(converted):
    names = [row.name for row in converted.report]
    assert names == [
        *("first", "inner_quant", "inner_plain", "prelu", "quant", "dense"),
    ]
    folded = {
        row.name: row.op == "folded" for row in converted.report.normalizations
    }
    assert folded["inner_folded"] and folded["before_quantizer"]
    assert not folded["alone"]
    text = str(converted.report)
    for name in [*names, *folded, "structure", f"{converted.report.macs:,}"]:
        assert name in text
    # The widths of a plain layer's input count, but it stays float.
    inner = converted.report[2]
    assert (inner.input_bits, inner.kind) == (1, "float")


def test_bytes_are_those_of_the_buffers(converted):
    parsed = flatbuffer.read(converted.flatbuffer)
    described = {entry.buffer for entry in parsed.metadata}
    stored = {
        number: np.size(buffer.data)
        for number, buffer in enumerate(parsed.buffers)
        if buffer.data is not None and number not in described
    }
    kinds = dict(converted.report.bytes_by_kind)
    structure = kinds.pop("structure")
    assert sum(kinds.values()) == sum(stored.values())
    assert structure > sum(np.size(parsed.buffers[b].data) for b in described)
    rows = [*converted.report, *converted.report.normalizations]
    assert sum(row.bytes for row in rows) == sum(kinds.values()) - kinds.get(
        "other constants", 0
    )


def test_totals_are_by_kind(converted):
    macs = dict.fromkeys(converted.report.macs_by_kind, 0)
    for row in converted.report:
        macs[row.kind] += row.macs
    assert converted.report.macs_by_kind == macs
    quantized = 36 * (4 * 9 * 4)
    plain = 36 * 4 * 27 + 36 * 16 + 144 * 5
    if converted.report.target == "tflite":
        # What goes on as a float runs as one.
        assert macs == {"XNOR": quantized, "float": quantized + plain}
    else:
        assert macs == {"XNOR": 2 * quantized, "float": plain}


@pytest.mark.parametrize("target", TARGETS)
def test_a_shared_layer_counts_its_bytes_once(target):
    x = inputs = keras.Input((6,))
    dense = K.Dense(6, name="shared", use_bias=False)
    for _ in range(3):
        x = K.ReLU()(dense(x))
    converted = convert(keras.Model(inputs, x), target)
    assert [row.macs for row in converted.report] == [36] * 3
    assert [row.bytes for row in converted.report] == [144, 0, 0]
    assert [row.weight_bytes for row in converted.report] == [144] * 3


@pytest.mark.parametrize("target", TARGETS)
def test_normalization_with_state(target):
    normalization = K.Normalization(name="scale")
    normalization.adapt(np.random.default_rng(0).normal(2, 3, (50, 6, 6, 2)))
    x = inputs = keras.Input((6, 6, 2))
    x = layers.QuantConv2D(3, 3, kernel_quantizer="binary")(normalization(x))
    model = keras.Model(inputs, x)
    rows = rows_of(model, target)
    assert rows["scale"].operation == "normalization"
    assert "MUL" in rows["scale"].op and rows["scale"].bytes >= 8


class Scale(keras.layers.Layer):
    """Another, which converters fold into the layer before it."""

    def build(self, shape):
        self.factor = self.add_weight(shape=(shape[-1],))

    def call(self, x):
        return x * self.factor


def test_a_product_belongs_to_the_layer_that_multiplies():
    """Whatever was fused with it, and whatever it follows."""
    x = inputs = keras.Input((4,))
    x = Scale(name="scale")(K.Dense(3, name="dense")(x))
    x = K.ReLU()(x)
    x = keras.ops.matmul(x, np.ones((3, 5), "float32"))
    model = with_random_weights(keras.Model(inputs, x))
    converted = convert(model, "tflite")
    check_report(model, converted)
    ops = {row.name: row.op for row in converted.report}
    assert ops == {"dense": "FULLY_CONNECTED", "scale": "folded"}
    assert converted.report.macs_by_kind == {"float": 12, "other": 15}


@pytest.mark.slow
def test_files_of_earlier_versions(tmp_path):
    """They name neither plain layers nor what stands beside an operator."""
    converted = convert(models.MINWNet(filters=4, dense_units=8))
    parsed = flatbuffer.read(converted.flatbuffer)
    description = metadata.read(parsed)
    del description["normalizations"]
    for entry in description["layers"]:
        del entry["beside"]
    path = tmp_path / "model.tflite"
    path.write_bytes(metadata.seal(parsed, description))
    read = report(path)
    without_bytes = [dataclasses.replace(row, bytes=0) for row in read]
    assert without_bytes == [
        dataclasses.replace(row, bytes=0) for row in converted.report
    ]
    assert read.bytes == path.stat().st_size
