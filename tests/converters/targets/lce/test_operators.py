"""±1 as Larq Compute Engine packs them, against NumPy."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given

from keras_aqe.converters.targets.lce import operators


@pytest.mark.slow
@given(shape=hnp.array_shapes(min_dims=2, max_dims=4, max_side=70))
def test_unpacks_words(shape):
    signs = np.random.default_rng(sum(shape)).choice([-1, 1], shape)
    padding = [(0, 0)] * (len(shape) - 1) + [(0, -shape[-1] % 32)]
    bits = np.pad(signs < 0, padding)
    words = np.packbits(bits, axis=-1, bitorder="little").view("int32")
    found = operators.unpack(words, shape[-1])
    np.testing.assert_array_equal(found, signs)


def test_unpacks_what_is_no_word():
    floats = np.float32([[0.5, -3]])
    np.testing.assert_array_equal(operators.unpack(floats, 2), floats)
