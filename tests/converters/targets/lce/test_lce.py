"""`target="lce"`: planes of ±1, and what guards against LCE's traps."""

import sys

import keras
import pytest

from keras_aqe import layers, models, quantizers
from keras_aqe.converters import convert
from keras_aqe.converters.targets.lce.planes import planes
from keras_aqe_runtime.file import flatbuffer
from tests.combinations import each_once
from tests.converters.targets.lce.test_emitter import padded
from tests.converters.targets.lce.test_planes import LEVELS


@pytest.mark.slow
@pytest.mark.parametrize(
    "input_bits, weight_bits", each_once([1, 2, 3], [1, 3, 2])
)
def test_a_layer_is_a_product_of_planes(input_bits, weight_bits):
    """A convolution and a dense layer, behind one on the image."""
    kernel = {"kernel_quantizer": quantizers.of_width(weight_bits)}
    codes = {**kernel, "input_quantizer": quantizers.of_width(input_bits)}
    x = inputs = keras.Input((6, 6, 3))
    x = layers.QuantConv2D(16, 3, **kernel)(x)
    x = keras.layers.Flatten()(layers.QuantConv2D(16, 3, **codes)(x))
    x = layers.QuantDense(20, **codes)(x)
    report = convert(keras.Model(inputs, x), "lce").report
    count = len(planes(LEVELS[input_bits]).factors) * len(
        planes(LEVELS[weight_bits]).factors
    )
    expected = "LceBconv2d" if count == 1 else f"{count} LceBconv2d"
    assert [row.op for row in report[1:]] == [expected] * 2


@pytest.mark.slow
def test_nothing_quantized_stays_float():
    """One float convolution, that of the image, and no dense layer."""
    model = models.MINWNet("D", 2, 2, filters=6, dense_units=20)
    file = flatbuffer.read(convert(model, "lce").flatbuffer)
    names = flatbuffer.operator_names(file)
    assert names.count("CONV_2D") == 1
    assert "FULLY_CONNECTED" not in names


def test_conversion_needs_no_lce(monkeypatch):
    monkeypatch.setitem(sys.modules, "larq_compute_engine", None)
    convert(padded(6), "lce")
