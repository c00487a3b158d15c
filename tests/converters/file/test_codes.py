"""Codes out of the tensors that a file's description names."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_aqe.converters.file.codes import Stored

SIGNS = st.lists(st.sampled_from([-1, 1]), min_size=10, max_size=10)


@given(
    planes=st.lists(
        st.tuples(SIGNS, st.sampled_from([0.5, 1.0, 2.0])), min_size=1
    ),
    offset=st.sampled_from([-0.5, 0.0, 0.5]),
)
def test_stored_codes_are_a_sum(planes, offset):
    arrays = [np.reshape(signs, (10, 1)) for signs, _ in planes]
    factors = tuple(factor for _, factor in planes)
    stored = Stored((0,) * len(factors), factors, offset)
    expected = sum(f * a for f, a in zip(factors, arrays)) + offset
    found = stored.decode(arrays, (2, 5), lambda array, channels: array)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected.reshape(2, 5))


@pytest.mark.parametrize("channels", [None, 3])
def test_words_end_where_they_did_before_a_reshape(channels):
    """What a target is told beside the tensor."""
    told = []

    def decode(array, channels):
        told.append(channels)
        return array

    stored = Stored.described({"tensors": [4], "channels": channels})
    stored.decode([np.zeros((2, 6))], (2, 6), decode)
    assert told == [channels or 6]


def test_codes_that_stand_nowhere():
    stored = Stored.described(
        {"tensors": [0], "pads": [[0, 0], [1, 2], [0, 0]], "pad_code": 3.0}
    )
    inner = np.arange(12).reshape(2, 3, 2)
    found = stored.decode(
        [inner.reshape(2, 6)], (2, 6, 2), lambda array, channels: array
    )
    expected = np.full((2, 6, 2), 3.0)
    expected[:, 1:4] = inner
    np.testing.assert_array_equal(found, expected)
