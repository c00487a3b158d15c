"""`target="lce"`: planes of ±1, and what guards against LCE's traps."""

import itertools
import sys

import keras
import numpy as np
import pytest

from keras_aqe import layers, models, quantizers
from keras_aqe.converters import ConversionError, Interpreter, convert
from keras_aqe.converters.file import flatbuffer
from keras_aqe.converters.targets.lce import emitter as lce
from keras_aqe.converters.targets.lce.planes import planes
from tests.converters.networks import images, randomise

LEVELS = {
    1: [-1, 1],
    2: [-1, 0, 1],
    3: [-4, -2, -1, 0, 1, 2, 4],
    4: [-64, -32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32, 64],
}


def rises_to(factors):
    """What any signs add up to, counted from where all are -1."""
    found = {0.0}
    for factor in factors:
        found |= {value + 2 * factor for value in found}
    return found


@pytest.mark.parametrize("bits", LEVELS)
def test_no_fewer_planes_write_the_levels(bits):
    """Fewer power-of-two factors fail, whatever the signs and a constant."""
    rises = np.subtract(LEVELS[bits], LEVELS[bits][0])

    def write(factors):
        found = rises_to(factors)
        return any(found.issuperset(rises + start) for start in found)

    fewest = planes(LEVELS[bits]).factors
    assert write(fewest)
    powers = 2.0 ** np.arange(-3, 8)
    for fewer in range(1, len(fewest)):
        for factors in itertools.combinations_with_replacement(powers, fewer):
            assert not write(factors)


@pytest.mark.parametrize(
    "levels",
    [*LEVELS.values(), [-2, 0, 2], list(range(-128, 128))],
)
@pytest.mark.parametrize("offset", [False, True])
def test_planes_add_up_to_the_codes(levels, offset):
    form = planes(levels, offset)
    codes = np.array(levels, "float64")
    signs = form.signs(codes, lambda x: np.where(x >= 0, 1.0, -1.0))
    total = form.offset + sum(f * s for f, s in zip(form.factors, signs))
    np.testing.assert_array_equal(total, codes)


@pytest.mark.parametrize("input_bits", [1, 2, 3])
@pytest.mark.parametrize("weight_bits", [1, 2, 3])
def test_a_layer_is_a_product_of_planes(input_bits, weight_bits):
    model = models.MINWNet(
        "D", input_bits, weight_bits, filters=6, dense_units=20
    )
    report = convert(model, "lce").report
    count = len(planes(LEVELS[input_bits]).factors) * len(
        planes(LEVELS[weight_bits]).factors
    )
    expected = "LceBconv2d" if count == 1 else f"{count} LceBconv2d"
    assert [row.op for row in report[1:]] == [expected] * 8


def padded(size, pad_value=0.0, strides=1, kernel_size=3):
    x = inputs = keras.Input((size, size, 2))
    x = layers.QuantConv2D(
        5,
        kernel_size,
        strides=strides,
        padding="same",
        pad_value=pad_value,
        input_quantizer="binary",
        kernel_quantizer="binary",
    )(x)
    return randomise(keras.Model(inputs, x))


def causal():
    """Padding on one side only, which is not what 'same' means."""
    x = inputs = keras.Input((9, 2))
    x = layers.QuantConv1D(
        5,
        3,
        padding="causal",
        input_quantizer="binary",
        kernel_quantizer="binary",
    )(x)
    return randomise(keras.Model(inputs, x))


def error(model):
    x = images(model.input_shape[1:])
    file = convert(model, "lce").flatbuffer
    return np.abs(
        Interpreter(file).predict(x) - model.predict(x, verbose=0)
    ).max()


@pytest.mark.parametrize(
    "model",
    [
        # Windows that meet zeros on both sides.
        padded(2),
        padded(3, kernel_size=5),
        causal(),
    ],
)
def test_lce_pads_wrongly_where_the_guard_keeps_it_from_padding(
    model, monkeypatch
):
    assert error(model) < 1e-5
    monkeypatch.setattr(lce, "_is_padded_by_lce", lambda *args: True)
    assert error(model) > 0.5


@pytest.mark.parametrize("size", [6, 7])
@pytest.mark.parametrize("pad_value", [0.0, 1.0])
def test_strided_padding_is_tensorflows(size, pad_value):
    """One more pixel after than before on even sizes."""
    assert error(padded(size, pad_value, strides=2)) < 1e-5


def test_a_float_of_minus_zero_counts_as_zero():
    """On ARM LCE goes by the sign bit, so that it must not see one."""
    x = inputs = keras.Input((4,))
    x = layers.QuantDense(
        3, input_quantizer="binary", kernel_quantizer="binary"
    )(x)
    model = keras.Model(inputs, x)
    x = np.array([[-0.0, 0.0, -1e-45, 1e-45]], "float32")
    file = convert(model, "lce").flatbuffer
    np.testing.assert_array_equal(
        Interpreter(file).predict(x), model.predict(x, verbose=0)
    )
    names = flatbuffer.operator_names(flatbuffer.read(file))
    assert names.index("SUB") < names.index("LceQuantize")


def test_sums_beyond_float32_are_refused():
    x = inputs = keras.Input((20000,))
    x = layers.QuantDense(
        1, input_quantizer="po2_4", kernel_quantizer="po2_4", name="wide"
    )(x)
    model = keras.Model(inputs, x)
    model.get_layer("wide").kernel.assign(np.ones((20000, 1)))
    with pytest.raises(ConversionError, match="'wide'.*is exact up to"):
        convert(model, "lce")


def test_nothing_quantized_stays_float():
    """One float convolution, that of the image, and no dense layer."""
    model = models.MINWNet("D", 2, 2, filters=6, dense_units=20)
    file = flatbuffer.read(convert(model, "lce").flatbuffer)
    names = flatbuffer.operator_names(file)
    assert names.count("CONV_2D") == 1
    assert "FULLY_CONNECTED" not in names


def test_what_follows_the_image_layer_is_not_folded_into_it():
    """Its sums are exact; folded, one code in millions comes out otherwise."""
    inputs = keras.Input((9, 9, 3))
    x = layers.QuantConv2D(
        5, 3, kernel_quantizer=quantizers.PowerOfTwo(bits=4), use_bias=True
    )(inputs)
    x = keras.layers.BatchNormalization()(x)
    outputs = layers.QuantActivation(quantizers.FixedPoint(8))(x)
    model = randomise(keras.Model(inputs, outputs))
    file = flatbuffer.read(convert(model, "lce").flatbuffer)
    names = flatbuffer.operator_names(file)
    assert names[:4] == ["CONV_2D", "MAXIMUM", "MUL", "ADD"]


def test_conversion_needs_no_lce(monkeypatch):
    monkeypatch.setitem(sys.modules, "larq_compute_engine", None)
    convert(padded(6), "lce")
