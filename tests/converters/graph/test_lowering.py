"""What padding fills in, against Keras."""

import keras
import numpy as np
import pytest

from keras_aqe import layers, quantizers
from keras_aqe.converters import ConversionError, Interpreter, convert
from tests.combinations import each_once
from tests.converters.networks import TARGETS
from tests.randomised import images, randomise

LIMITS = {"tflite": "int8 cannot hold", "packed": "no level"}


def padded(quantizer, pad_value):
    inputs = keras.Input((6, 6, 3))
    x = layers.QuantConv2D(
        *(2, 3),
        padding="same",
        pad_value=pad_value,
        input_quantizer=quantizer,
        kernel_quantizer="binary",
        name="padded",
    )(inputs)
    codes = layers.QuantActivation("ternary")(
        keras.layers.BatchNormalization()(x)
    )
    return randomise(keras.Model(inputs, [codes, x]))


PADS = [
    ("binary", 3.0),
    ("ternary", -127.0),
    ("ternary", 200.0),
    ("po2_3", 0.75),
    ("fixed_8", 1.0),
    ("unsigned_2", 1.5),
    ("unsigned_8", 1.5),
    ("unsigned_8", 3.0),
    (None, 200.0),
    (None, 0.3),
]


@pytest.mark.slow
@pytest.mark.parametrize("pad, target", each_once(PADS, TARGETS))
def test_pad_values_are_exact_or_refused(pad, target):
    quantizer, pad_value = pad
    model = padded(quantizer, pad_value)
    x = images((6, 6, 3))
    try:
        file = convert(model, target).flatbuffer
    except ConversionError as error:
        unit = quantizers.get(quantizer).unit
        assert "'padded'" in str(error) and LIMITS[target] in str(error)
        assert f"{pad_value:g}" in str(error)
        assert target == "packed" or not -128 <= pad_value / unit <= 127
        return
    codes, sums = Interpreter(file).predict(x)
    expected_codes, expected = model(x, training=False)
    np.testing.assert_allclose(sums, expected, rtol=1e-6, atol=1e-5)
    if quantizer is not None:
        np.testing.assert_array_equal(sums, expected)
        np.testing.assert_array_equal(codes, expected_codes)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "quantizer, pad_value",
    [
        ("binary", 0.5),
        ("fixed_8", 0.3),
        ("unsigned_2", 0.3),
        ("ternary", 1e30),
        (None, np.inf),
        ("binary", np.nan),
    ],
)
def test_refuses_padding_between_codes(quantizer, pad_value, target):
    with pytest.raises(ConversionError, match="'padded'.*pad_value"):
        convert(padded(quantizer, pad_value), target, strict=False)


@pytest.mark.slow
def test_padding_that_never_occurs_is_no_obstacle():
    inputs = keras.Input((6, 6, 3))
    outputs = layers.QuantConv2D(
        *(2, 1),
        padding="same",
        pad_value=0.3,
        input_quantizer="binary",
        kernel_quantizer="binary",
    )(inputs)
    model, x = keras.Model(inputs, outputs), images((6, 6, 3))
    for target in TARGETS:
        received = Interpreter(convert(model, target).flatbuffer).predict(x)
        np.testing.assert_array_equal(received, model(x, training=False))


@pytest.mark.slow
@pytest.mark.parametrize(
    "source, target", each_once(["pixels", "codes"], TARGETS)
)
def test_sums_without_a_quantizer_between(source, target):
    """The accumulators of the first are the floats of the second."""
    kernels = {"kernel_quantizer": "binary", "use_bias": False}
    first = {"filters": 4, "kernel_size": 3, **kernels}
    if source == "pixels":
        inputs = keras.Input((6, 7, 3), dtype="uint8")
        x = layers.QuantConv2D(**first)(keras.layers.Rescaling(1 / 128)(inputs))
    else:
        inputs = keras.Input((6, 7, 3))
        x = layers.QuantConv2D(input_quantizer="po2_3", **first)(inputs)
    sums = [
        layers.QuantConv2D(5, 3, **kernels)(x),
        layers.QuantConv2DTranspose(5, 3, strides=2, **kernels)(x),
        layers.QuantDense(5, **kernels)(x),
        layers.QuantDepthwiseConv2D(3, **kernels)(x),
        layers.QuantSeparableConv2D(5, 1, **kernels)(x),
    ]
    codes = [layers.QuantActivation("po2_4")(y) for y in sums]
    model = keras.Model(inputs, [*codes, *sums])
    x = np.random.default_rng(0).integers(0, 256, (3, 6, 7, 3))
    x = x.astype("uint8") if source == "pixels" else images((6, 7, 3))
    converted = convert(model, target, strict=False)
    for wanted, found in zip(model(x), Interpreter(converted).predict(x)):
        np.testing.assert_array_equal(wanted, found)
