"""Keras's hard output against the converted file."""

import hypothesis
import keras
import numpy as np
import pytest
from ai_edge_litert import interpreter as litert
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from keras_aqe import layers, quantizers
from keras_aqe.converters import ConversionError, Interpreter, convert, verify
from keras_aqe_runtime.file import flatbuffer
from tests.converters.networks import (
    TARGETS,
    RandomNetwork,
    activation_quantizers,
    check_report,
    computed,
    inputs_of,
    with_a_fault,
)
from tests.randomised import images, randomise

# Smaller networks fail no clearer, and looking for them takes minutes.
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]


def assert_same(model, target, x, expected=None, **arguments):
    converted = convert(model, target, **arguments)
    check_report(model, converted)
    if expected is None:
        expected = keras.tree.flatten(computed(model, x))
    interpreter = Interpreter(converted)
    runs = [keras.tree.flatten(interpreter.predict(x))]
    if target == "tflite":
        runs.append(without_xnnpack(converted.flatbuffer, x))
    for received in runs:
        assert_equal(expected, received)
    # Fewer examples, and as many as before.
    for count in (1, len(expected[-1])):
        received = interpreter.predict(first(x, count))
        assert_equal(
            [y[:count] for y in expected], keras.tree.flatten(received)
        )
    return converted


def assert_equal(expected, received):
    """Codes to the bit; logits, which come last, but for their rounding."""
    for ours, theirs in zip(expected[:-1], received[:-1], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    logits, received = expected[-1], received[-1]
    np.testing.assert_allclose(
        logits, received, rtol=0, atol=1e-4 * np.abs(logits).max()
    )
    np.testing.assert_array_equal(logits.argmax(-1), received.argmax(-1))


def first(x, count):
    """The first examples of an input or of several."""
    return keras.tree.map_structure(lambda value: value[:count], x)


def check_random_network(draw):
    """Draws a network and compares the files of all targets with Keras."""
    keras.utils.clear_session()
    network = RandomNetwork(draw)
    model = network.model()
    x = inputs_of(model, examples=draw(st.integers(1, 4)))
    expected = [np.asarray(y) for y in model(x, training=False)]
    verified = draw(st.sampled_from(TARGETS))
    for target in TARGETS:
        compact = target == "tflite" and draw(st.booleans())
        try:
            converted = assert_same(
                *(model, target, x, expected),
                strict=network.strict,
                compact=compact,
            )
        except ConversionError as error:
            if "is exact up to" not in str(error):
                raise
            hypothesis.event("sums too large for LCE")
            continue
        if target == verified:
            check_verification(model, converted, x, draw)


def check_verification(model, converted, x, draw):
    """Whether `verify` finds no fault in a file, but one in a damaged file."""
    same = verify(model, converted, x, batch_size=draw(st.integers(1, 4)))
    assert same.faultless and same.codes_equal and same.labels_equal, str(same)
    assert len(same.code_agreement) == len(activation_quantizers(model))
    damaged = with_a_fault(converted.flatbuffer, draw(st.integers(0, 99)))
    expected = keras.tree.flatten(Interpreter(converted.flatbuffer).predict(x))
    found = keras.tree.flatten(Interpreter(damaged).predict(x))
    if any((a != b).any() for a, b in zip(expected[:-1], found[:-1])) or (
        np.abs(expected[-1] - found[-1]).max() > 1e-3 * np.abs(found[-1]).max()
    ):
        hypothesis.event("a fault that shows")
        assert not verify(model, damaged, x).faultless


def without_xnnpack(file, x):
    """Outputs of LiteRT's reference kernels."""
    resolvers = litert.OpResolverType
    resolver = resolvers.BUILTIN_REF
    # Its reference kernels leave this one out.
    if "ROUND" in flatbuffer.operator_names(flatbuffer.read(file)):
        resolver = resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = litert.Interpreter(
        model_content=file, experimental_op_resolver_type=resolver
    )
    inputs = x if isinstance(x, list) else [x]
    for detail, value in zip(interpreter.get_input_details(), inputs):
        interpreter.resize_tensor_input(detail["index"], value.shape)
    interpreter.allocate_tensors()
    for detail, value in zip(interpreter.get_input_details(), inputs):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return [
        interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_output_details()
    ]


def check_random_networks(part, count):
    """Checks some of them; parts are for several processes to share."""

    @hypothesis.seed(part)
    @settings(max_examples=count, phases=PHASES)
    @given(data=st.data())
    def check(data):
        check_random_network(data.draw)

    check()


# Each network takes seconds since it is verified in each target's engine, so
# there are few: hypothesis draws the simplest, and two others.
@pytest.mark.slow
def test_random_networks():
    check_random_networks(0, 3)


# 2,000 networks: hours.
@pytest.mark.long
@pytest.mark.parametrize("part", range(40))
def test_many_random_networks(part):
    check_random_networks(part, 50)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["lce", "tflite"])
def test_residual_nested_and_two_inputs(target):
    def conv():
        return layers.QuantConv2D(
            8,
            3,
            padding="same",
            input_quantizer="binary",
            kernel_quantizer="binary",
        )

    inner_in = keras.Input((8, 8, 8))
    inner_out = keras.layers.BatchNormalization()(conv()(inner_in))
    inner = keras.Model(inner_in, inner_out, name="inner")
    first, second = keras.Input((8, 8, 3)), keras.Input((8, 8, 2))
    shared = layers.QuantConv2D(4, 1, kernel_quantizer="binary")
    x = keras.layers.Concatenate()(
        [
            shared(first),
            layers.QuantConv2D(4, 1, kernel_quantizer="binary")(second),
        ]
    )
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Add()([x, inner(x)])
    x = keras.layers.Add()([x, inner(keras.layers.ReLU()(x))])
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = layers.QuantDense(
        5, input_quantizer="binary", kernel_quantizer="binary"
    )(x)
    model = keras.Model([first, second], keras.layers.Softmax()(x))
    # Plain statistics: the residual sums here are floats.
    x = [images((8, 8, 3)), images((8, 8, 2), seed=1)]
    assert_same(model, target, x)


@pytest.fixture(scope="module")
def unsigned_network():
    """Unsigned codes of all widths, in and out of layers of all kinds."""
    quantized = {"kernel_quantizer": "ternary"}
    norm, relu = keras.layers.BatchNormalization, keras.layers.ReLU
    codes = []

    def codes_of(x, quantizer):
        codes.append(layers.QuantActivation(quantizer)(x))
        return codes[-1]

    inputs = keras.Input((9, 9, 3))
    x = relu()(norm()(layers.QuantConv2D(7, 3, **quantized)(inputs)))
    x = codes_of(x, "unsigned_2")
    conv = layers.QuantConv2D(
        9, 3, padding="same", use_bias=False, kernel_quantizer="binary"
    )
    x = codes_of(relu()(norm()(conv(x))), "unsigned_1")
    conv = layers.QuantConv2D(
        33, 3, padding="same", kernel_quantizer="binary", pad_value=1.0
    )
    # The sum falls in some channels behind the pool.
    x = norm()(keras.layers.MaxPooling2D(2, 1)(relu()(norm()(conv(x)))))
    x = codes_of(x, "unsigned_3")
    conv = layers.QuantDepthwiseConv2D(3, padding="same", **quantized)
    x = codes_of(relu()(norm()(conv(x))), "unsigned_8")
    conv = layers.QuantConv2D(6, 3, padding="same", groups=3, **quantized)
    x = codes_of(relu()(norm()(conv(x))), "unsigned_4")
    conv = layers.QuantConv2DTranspose(
        6, 3, strides=2, padding="same", **quantized
    )
    x = codes_of(relu()(norm()(conv(x))), "unsigned_3")
    conv = layers.QuantConv2D(
        6, 3, strides=2, padding="same", pad_value=1.75, **quantized
    )
    shortcut = relu()(norm()(conv(x)))
    half = quantizers.FixedPoint(2, signed=False, scale=0.5)
    x = codes_of(shortcut, half)
    # Sums of a shortcut are exact without normalisation alone.
    x = layers.QuantConv2D(6, 3, padding="same", **quantized)(x)
    y = layers.QuantConv2D(6, 1, **quantized)(codes[-1])
    x = codes_of(relu()(keras.layers.Add()([x, y])), "unsigned_8")
    x = keras.layers.ZeroPadding2D(1)(x)
    x = layers.QuantConv2D(6, 3, **quantized)(x)
    x = codes_of(relu()(norm()(x)), "unsigned_1")
    x = codes_of(keras.layers.AveragePooling2D(2, 1)(x), "unsigned_3")
    x = keras.layers.Concatenate()([x, x])
    x = layers.QuantDense(20, **quantized)(keras.layers.Flatten()(x))
    wide = quantizers.FixedPoint(5, signed=False, scale=4.0)
    x = codes_of(relu()(norm()(x)), wide)
    x = codes_of(norm()(layers.QuantDense(9, **quantized)(x)), "ternary")
    x = norm()(layers.QuantDense(4, **quantized)(x))
    model = randomise(keras.Model(inputs, [*codes, x]), seed=1)
    x = images((9, 9, 3))
    return model, x, [np.asarray(y) for y in model(x, training=False)]


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_unsigned_codes(unsigned_network, target):
    model, x, expected = unsigned_network
    assert {len(np.unique(y)) for y in expected[:-1]} >= {2, 4, 8}
    converted = assert_same(model, target, x, expected)
    verification = verify(model, converted, x)
    assert verification.faultless and verification.codes_equal
    assert len(verification.code_agreement) == len(model.outputs) - 1


def test_sequential_with_input_quantizers():
    model = keras.Sequential(
        [
            keras.Input((10, 10, 1)),
            layers.QuantConv2D(8, 3, kernel_quantizer="binary"),
            keras.layers.BatchNormalization(),
            layers.QuantConv2D(
                8, 3, input_quantizer="binary", kernel_quantizer="binary"
            ),
            keras.layers.MaxPooling2D(),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            layers.QuantDense(
                3, input_quantizer="binary", kernel_quantizer="binary"
            ),
        ]
    )
    randomise(model)
    converted = assert_same(model, "lce", images((10, 10, 1)))
    assert [row.op for row in converted.report] == [
        "CONV_2D",
        "LceBconv2d",
        "LceBconv2d",
    ]
