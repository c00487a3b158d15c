"""What guards against the traps of Larq Compute Engine."""

import keras
import numpy as np
import pytest

from keras_aqe import layers, models, quantizers
from keras_aqe.converters import Interpreter, convert, verify
from keras_aqe.converters.targets.lce import emitter as lce
from keras_aqe_runtime.file import flatbuffer
from tests.randomised import images, randomise


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("pad_value", [0.0, 1.0])
def test_minw_net_lce(pad_value):
    model = models.MINWNet(filters=6, dense_units=20, pad_value=pad_value)
    randomise(model)
    verification = verify(model, convert(model, "lce"), images((32, 32, 3)))
    assert verification.labels_equal
    assert verification.max_relative_error < 1e-4
