"""Pools as operators of the packed format, against Keras."""

import keras
import pytest

from keras_aqe import layers
from tests.combinations import each_once
from tests.converters.targets.packed.networks import (
    assert_equal,
    operators,
)
from tests.randomised import images, randomise


@pytest.mark.slow
@pytest.mark.parametrize(
    "quantizer, source",
    each_once(
        ["binary", "ternary", "po2_3", "po2_4", "fixed_8"],
        ["ternary", "po2_4", "fixed_8"],
    ),
)
def test_an_average_of_codes_becomes_codes_at_once(source, quantizer):
    inputs = keras.Input((12, 12, 5))
    x = layers.QuantActivation(source)(inputs)
    codes = []
    for pool in (
        [keras.layers.AveragePooling2D(3, 2)],
        [keras.layers.AveragePooling2D(2, 1), layers.HardTanh()],
        [
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.BatchNormalization(),
        ],
    ):
        for layer in pool:
            x = layer(x)
        x = layers.QuantActivation(quantizer)(x)
        codes.append(x)
    x = layers.QuantDense(5, kernel_quantizer="binary")(x)
    model = randomise(keras.Model(inputs, [*codes, x]))
    written = operators(assert_equal(model, images((12, 12, 5))))
    assert written.count("AqeAveragePool2D") == 3
    assert written.count("AqeQuantize") == 1  # of the image


@pytest.mark.slow
def test_pools_anywhere_and_falling_channels():
    def norm(x):
        return keras.layers.BatchNormalization()(x)

    pool = keras.layers.MaxPooling2D
    x = inputs = keras.Input((32, 32, 3))
    codes = []
    for order in ((norm, pool()), (pool(), norm), (norm, pool(), norm, pool())):
        x = layers.QuantConv2D(
            40, 3, padding="same", kernel_quantizer="ternary"
        )(x)
        for step in order:
            x = step(x)
        x = layers.QuantActivation("po2_3")(x)
        codes.append(x)
    x = pool(2, 1, padding="same")(x)
    x = layers.QuantDepthwiseConv2D(
        2, depth_multiplier=2, kernel_quantizer="po2_4", padding="same"
    )(x)
    x = layers.QuantActivation("ternary")(norm(pool(2, 1)(x)))
    codes.append(x)
    for layer in (keras.layers.GlobalMaxPooling2D(), keras.layers.Flatten()):
        codes.append(layer(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = randomise(keras.Model(inputs, [*codes, x]))
    assert_equal(model, images((32, 32, 3)))
