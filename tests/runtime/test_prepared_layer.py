"""Layers that cannot be prepared get an error."""

import numpy as np
import pytest

from tests.runtime.engines import run
from tests.runtime.packed_files import (
    one_operator,
)
from tests.runtime.test_operator_options import conv_file


def test_accumulator_that_could_overflow():
    x = np.zeros((1, 300_000), np.int8)
    weights = np.zeros((4, 150_000), np.uint8)
    options = {
        "input_channels": 300_000,
        "input_bits": 8,
        "weight_bits": 4,
        "output_channels": 4,
        "output_bits": 32,
    }
    file = one_operator(
        "AqeFullyConnected", x, [weights], (1, 4), "int32", options
    )
    with pytest.raises((RuntimeError, ValueError), match="overflow 32 bits"):
        run(file, x)


def test_resize_to_an_input_that_does_not_fit():
    file, x = conv_file()
    with pytest.raises((RuntimeError, ValueError), match="must have 4 dim"):
        run(file, x[0])
