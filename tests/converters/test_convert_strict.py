"""What `strict` promises (docs/conversion.md), for widths of all kinds."""

import keras
import pytest

from keras_aqe import layers, quantizers
from keras_aqe.converters import ConversionError, convert
from tests.combinations import each_once
from tests.converters.networks import TARGETS
from tests.randomised import randomise

# Bits of inputs and weights, and their operation.
WIDTHS = [
    *((1, 1, "XNOR"), (2, 3, "XNOR"), (3, 4, "SHIFT"), (8, 3, "SHIFT")),
    *((8, 4, "MAC"), (4, 8, "MAC"), (8, 8, "MAC")),
    *((16, 1, "XNOR ADDER"), (2, 16, "XNOR ADDER"), (3, 32, "SHIFT ADDER")),
    *((4, 16, "MAC"), (16, 16, "MAC"), (32, 32, "MAC")),
]


@pytest.mark.slow
# All pairs take twenty seconds.
@pytest.mark.parametrize("target, widths", each_once(TARGETS, WIDTHS))
def test_strict(target, widths):
    """One layer whose sum is quantized again, behind one on the image."""
    input_bits, weight_bits, operation = widths
    x = inputs = keras.Input((6,))
    x = layers.QuantDense(6, kernel_quantizer="binary", name="image")(x)
    x = keras.layers.BatchNormalization()(x)
    x = layers.QuantDense(
        5,
        input_quantizer=quantizers.of_width(input_bits),
        kernel_quantizer=quantizers.of_width(weight_bits),
        name="layer",
    )(x)
    x = layers.QuantActivation("binary")(x)
    model = randomise(keras.Model(inputs, x))
    try:
        report = convert(model, target).report
    except ConversionError as error:
        assert "'layer'" in str(error) and "strict=False" in str(error)
        # Where the operation is one of the target's, it is kept.
        assert max(input_bits, weight_bits) >= 8
        row = convert(model, target, strict=False).report[1]
        assert row.kind == "float"
        return
    image, row = report
    assert image.note == ("" if target == "packed" else "image layer")
    assert row.operation == operation
    is_wide = max(input_bits, weight_bits) >= 16
    assert row.note in ("", "float width" if is_wide else "")
    if row.note:
        assert target == "tflite" or operation == "MAC"
