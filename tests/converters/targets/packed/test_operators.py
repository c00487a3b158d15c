"""One operator of the packed format for each quantized layer."""

import keras
import numpy as np
import pytest

from keras_aqe import layers
from tests.combinations import each_once
from tests.converters.targets.packed.networks import (
    assert_equal,
    operators,
    small,
)
from tests.randomised import randomise


@pytest.mark.slow
@pytest.mark.parametrize(
    "widths, pad_value",
    each_once([(1, 1), (2, 2), (3, 3), (8, 1), (8, 3)], [0.0, 1.0]),
)
def test_layers_become_one_operator_each(widths, pad_value):
    input_bits, weight_bits = widths
    if input_bits == 8:
        pad_value = -pad_value  # fixed point ends before 1
    _, converted = small(input_bits, weight_bits, pad_value)
    expected = ["AqeConv2D"] * 6 + ["AqeFullyConnected"] * 3
    assert operators(converted) == expected
    assert [row.op for row in converted.report] == expected


@pytest.mark.parametrize(
    "preprocessing",
    [
        [keras.layers.Rescaling(1 / 127.5, -1)],
        [keras.layers.Rescaling(1 / 255)],
        [
            keras.layers.Rescaling(1 / 255),
            keras.layers.Normalization(mean=[0.5, 0.4], variance=[0.1, 0.2]),
        ],
    ],
)
def test_the_image_may_be_uint8(preprocessing):
    x = inputs = keras.Input((9, 9, 2), dtype="uint8")
    for layer in preprocessing:
        x = layer(x)
    x = layers.QuantConv2D(7, 3, padding="same", kernel_quantizer="po2_3")(x)
    x = keras.layers.BatchNormalization()(x)
    codes = layers.QuantActivation("ternary")(x)
    x = layers.QuantConv2D(3, 3, kernel_quantizer="binary")(codes)
    model = randomise(keras.Model(inputs, [codes, x]))
    x = np.random.default_rng(0).integers(0, 256, (4, 9, 9, 2), "uint8")
    converted = assert_equal(model, x)
    assert operators(converted)[0] == "AqeConv2D"
