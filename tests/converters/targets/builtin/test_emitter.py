"""Builtin operators on int8, against Keras, for all widths of Table I."""

import pytest

from keras_aqe import models
from keras_aqe.converters import convert, verify
from tests.converters.networks import (
    TABLE_1,
    images,
    randomise,
)

FEW = [(1, 1), (1, 3), (2, 2), (2, 16), (3, 3), (16, 2), (32, 32)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "input_bits, weight_bits",
    [
        pytest.param(
            *widths,
            # The others take ten seconds.
            marks=() if widths in FEW else pytest.mark.long,
        )
        for widths in TABLE_1
    ],
)
def test_minw_net(input_bits, weight_bits):
    model = models.MINWNet(
        "D", input_bits, weight_bits, filters=6, dense_units=20
    )
    randomise(model, seed=input_bits)
    x = images((32, 32, 3))
    verification = verify(model, convert(model, "tflite"), x)
    assert verification.labels_equal
    # Sums of half-precision values round differently in another order, and
    # a code on the edge may then differ.
    limit = 1e-2 if input_bits == 16 else 1e-4
    assert verification.max_relative_error < limit
