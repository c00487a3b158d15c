"""What runs on int8, and what stays float."""

import itertools

import pytest

from keras_aqe import models
from keras_aqe.converters import convert


# Ten million weights, which are int8 whatever their width: one pair is enough.
@pytest.mark.slow
@pytest.mark.parametrize(
    "input_bits, weight_bits",
    [
        pytest.param(*bits, marks=() if bits == (2, 3) else pytest.mark.long)
        for bits in itertools.product([1, 2, 3], repeat=2)
    ],
)
def test_model_a_of_builtin_operators_is_int8(input_bits, weight_bits):
    converted = convert(models.MINWNet("A", input_bits, weight_bits), "tflite")
    assert len(converted.flatbuffer) <= 10.6e6
    notes = [row.note for row in converted.report]
    assert notes == ["image layer", *[""] * 7, "feeds float"]
