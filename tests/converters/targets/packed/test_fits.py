"""What the packed format can hold of a network, and what it cannot."""

import keras
import pytest

from keras_aqe import layers, quantizers
from keras_aqe.converters import ConversionError, convert
from tests.converters.targets.packed.networks import (
    assert_equal,
)
from tests.randomised import images, randomise


@pytest.mark.parametrize("bits, multiplier", [(4, 1), (2, 3), (3, 2)])
def test_separable_kernels_beyond_four_bits(bits, multiplier):
    x = inputs = keras.Input((8, 8, 3))
    x = layers.QuantActivation("ternary")(x)
    x = layers.QuantSeparableConv2D(
        5,
        3,
        depth_multiplier=multiplier,
        kernel_quantizer=quantizers.of_width(bits),
    )(x)
    codes = layers.QuantActivation("po2_3")(x)
    model = randomise(keras.Model(inputs, [codes, x]))
    assert_equal(model, images((8, 8, 3)))


def test_odd_widths():
    """Fixed point of few bits takes int8 codes."""
    x = inputs = keras.Input((10,))
    codes = []
    for quantizer in ("fixed_2", "fixed_3", "fixed_5", "fixed_8"):
        x = layers.QuantActivation(quantizer)(x)
        codes.append(x)
        x = layers.QuantDense(9, kernel_quantizer="po2_3")(x)
    model = randomise(keras.Model(inputs, [*codes, x]))
    assert_equal(model, images((10,), examples=20))


def dense(x, input_quantizer, kernel_quantizer, name):
    return layers.QuantDense(
        3,
        input_quantizer=input_quantizer,
        kernel_quantizer=kernel_quantizer,
        name=name,
    )(x)


@pytest.mark.parametrize(
    "input_quantizer, kernel_quantizer, match",
    [
        ("binary", "float16", "'wide' would not run as XNOR ADDER.*16 bits"),
        ("po2_3", None, "'wide' would not run as SHIFT ADDER.*32 bits"),
        ("po2_5", "po2_3", "'wide' would not run as SHIFT.*input has 5 bits"),
    ],
)
def test_what_cannot_be_packed(input_quantizer, kernel_quantizer, match):
    x = inputs = keras.Input((6,))
    x = dense(x, input_quantizer, kernel_quantizer, "wide")
    x = dense(x, "ternary", "ternary", "narrow")
    model = randomise(keras.Model(inputs, x))
    with pytest.raises(ConversionError, match=match):
        convert(model)
    converted = assert_equal(model, images((6,)), strict=False)
    assert [row.op for row in converted.report] == [
        "FULLY_CONNECTED",
        "AqeFullyConnected",
    ]


def test_a_pad_value_that_is_no_level():
    x = inputs = keras.Input((6, 6, 2))
    x = layers.QuantConv2D(
        3,
        3,
        padding="same",
        pad_value=0.3,
        input_quantizer="binary",
        kernel_quantizer="binary",
        name="padded",
    )(x)
    with pytest.raises(ConversionError, match="'padded'.*pad_value=0.3"):
        convert(keras.Model(inputs, x))


def test_an_image_may_be_padded_with_any_number():
    x = inputs = keras.Input((6, 6, 2))
    x = layers.QuantConv2D(
        3, 3, padding="same", pad_value=0.5, kernel_quantizer="binary"
    )(x)
    assert_equal(keras.Model(inputs, x), images((6, 6, 2)))
