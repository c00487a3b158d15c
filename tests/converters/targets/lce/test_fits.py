"""What Larq Compute Engine can run, and how exactly."""

import keras
import numpy as np
import pytest

from keras_aqe import layers
from keras_aqe.converters import ConversionError, convert
from tests.converters.test_convert import conv, functional, refused, small


def test_sums_beyond_float32_are_refused():
    x = inputs = keras.Input((20000,))
    x = layers.QuantDense(
        1, input_quantizer="po2_4", kernel_quantizer="po2_4", name="wide"
    )(x)
    model = keras.Model(inputs, x)
    model.get_layer("wide").kernel.assign(np.ones((20000, 1)))
    with pytest.raises(ConversionError, match="'wide'.*is exact up to"):
        convert(model, "lce")


def test_refuses_an_unquantized_input_under_lce():
    model = functional(
        keras.layers.Conv2D(4, 3), conv(kernel_quantizer="binary")
    )
    refused(model, "lce", "the_conv.*neither quantized nor")
    convert(model, "tflite")


@pytest.mark.slow
@pytest.mark.parametrize("widths", [(16, 1), (3, 16)])
def test_refuses_float_widths_under_lce(widths):
    refused(small(input_bits=widths[0], weight_bits=widths[1]), "lce", "bits")
