"""Codes out of tensors of a file, against codes packed in NumPy."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_aqe.converters.file import codes
from tests.runtime.packed_files import LEVELS, pack_activations

SHAPES = hnp.array_shapes(min_dims=2, max_dims=4, max_side=70)


def drawn(shape, levels):
    random = np.random.default_rng(sum(shape))
    return random.choice(levels, shape)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
@given(shape=SHAPES)
def test_bit_planes(bits, shape):
    expected = drawn(shape, LEVELS[bits])
    packed = pack_activations(expected, bits)
    found = codes.decode(packed, shape)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("bits", [1, 3])
def test_bit_planes_of_a_flattened_tensor(bits):
    """Words lie as before, with gaps behind the channels of each pixel."""
    expected = drawn((2, 3, 5, 70), LEVELS[bits])
    packed = pack_activations(expected, bits)
    found = codes.decode(packed, (2, 3 * 5, 70))
    np.testing.assert_array_equal(found, expected.reshape(2, 15, 70))


@given(shape=SHAPES)
def test_words_of_larq_compute_engine(shape):
    expected = drawn(shape, [-1, 1])
    padding = [(0, 0)] * (len(shape) - 1) + [(0, -shape[-1] % 32)]
    bits = np.pad(expected < 0, padding)
    words = np.packbits(bits, axis=-1, bitorder="little").view("int32")
    np.testing.assert_array_equal(codes.decode(words, shape), expected)


@given(
    factors=st.lists(st.sampled_from([0.5, 1.0, 2.0, 4.0]), min_size=1),
    offset=st.sampled_from([-0.5, 0.0, 0.5]),
)
def test_stored_codes_are_a_sum(factors, offset):
    tensors = [drawn((2, 5 + n), [-1, 1])[:, :5] for n in range(len(factors))]
    stored = codes.Stored(
        tuple(np.float32(t) for t in tensors), tuple(factors), offset
    )
    expected = sum(f * t for f, t in zip(factors, tensors)) + offset
    np.testing.assert_array_equal(stored.decode((2, 5)), expected)
