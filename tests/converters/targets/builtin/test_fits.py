"""What runs on int8, and what stays float."""

import pytest

from keras_aqe import models
from keras_aqe.converters import convert
from tests.combinations import each_once


@pytest.mark.slow
@pytest.mark.parametrize(
    "input_bits, weight_bits", each_once([1, 2, 3], [3, 2, 1])
)
def test_model_a_of_builtin_operators_is_int8(input_bits, weight_bits):
    converted = convert(models.MINWNet("A", input_bits, weight_bits), "tflite")
    assert len(converted.flatbuffer) <= 10.6e6
    notes = [row.note for row in converted.report]
    assert notes == ["image layer", *[""] * 7, "feeds float"]
