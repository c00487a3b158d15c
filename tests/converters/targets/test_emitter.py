"""Padding that all targets write alike, against Keras."""

import keras
import pytest

from keras_aqe import layers
from tests.converters.networks import (
    TARGETS,
    images,
    randomise,
)
from tests.converters.test_convert_exactness import assert_same


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kernel_size, dilation", [(5, 1), ((3, 1), 2)])
def test_windows_that_meet_padding_on_both_sides(target, kernel_size, dilation):
    """Larq Compute Engine's own padding by zeros is wrong there."""
    x = inputs = keras.Input((3, 4, 2))
    x = layers.QuantConv2D(
        5,
        kernel_size,
        padding="same",
        dilation_rate=dilation,
        input_quantizer="binary",
        kernel_quantizer="binary",
    )(x)
    codes = layers.QuantActivation("binary")(x)
    model = randomise(keras.Model(inputs, [codes, x]))
    assert_same(model, target, images((3, 4, 2)))
