"""Tensors that do not fit docs/format.md get an error."""

import numpy as np
import pytest

from tests.runtime.test_operator_options import expect_error


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"weights": np.zeros((2, 708), np.uint8)}, "weights must have shape"),
        ({"weights": np.zeros((2, 709), np.int8)}, "weights must be UINT8"),
        (
            {"thresholds": np.zeros((2, 9), np.float32)},
            "thresholds must be INT32",
        ),
        (
            {"thresholds": np.repeat([[4], [-3]], 9, 1).astype(np.int32)},
            "thresholds of channel 0 do not ascend",
        ),
        ({"direction": np.zeros(9, np.int8)}, "direction must be 1 or -1"),
        ({"direction": np.ones(8, np.int8)}, "direction must hold 9 elements"),
        ({"output_dtype": "float32"}, "output must be INT64, but is FLOAT32"),
        ({"extra": [np.ones(9, np.int8)]}, "must have 4 inputs, but has 5"),
        ({"shape": (1, 2, 6, 70)}, "larger than the padded input"),
    ],
)
def test_tensor_that_does_not_fit(kwargs, message):
    expect_error(message, **kwargs)
