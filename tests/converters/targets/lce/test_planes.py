"""Codes as planes of ±1."""

import itertools

import numpy as np
import pytest

from keras_aqe.converters.targets.lce.planes import planes

LEVELS = {
    1: [-1, 1],
    2: [-1, 0, 1],
    3: [-4, -2, -1, 0, 1, 2, 4],
    4: [-64, -32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32, 64],
}


def rises_to(factors):
    """What any signs add up to, counted from where all are -1."""
    found = {0.0}
    for factor in factors:
        found |= {value + 2 * factor for value in found}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("bits", LEVELS)
def test_no_fewer_planes_write_the_levels(bits):
    """Fewer power-of-two factors fail, whatever the signs and a constant."""
    rises = np.subtract(LEVELS[bits], LEVELS[bits][0])

    def write(factors):
        found = rises_to(factors)
        return any(found.issuperset(rises + start) for start in found)

    fewest = planes(LEVELS[bits]).factors
    assert write(fewest)
    powers = 2.0 ** np.arange(-3, 8)
    for fewer in range(1, len(fewest)):
        for factors in itertools.combinations_with_replacement(powers, fewer):
            assert not write(factors)


@pytest.mark.parametrize(
    "levels",
    [
        *LEVELS.values(),
        [-2, 0, 2],
        *(list(range(n)) for n in (2, 4, 8, 256)),
        list(range(-8, 8)),
        list(range(-128, 128)),
    ],
)
@pytest.mark.parametrize("offset", [False, True])
def test_planes_add_up_to_the_codes(levels, offset):
    form = planes(levels, offset)
    codes = np.array(levels, "float64")
    signs = form.signs(codes, lambda x: np.where(x >= 0, 1.0, -1.0))
    total = form.offset + sum(f * s for f, s in zip(form.factors, signs))
    np.testing.assert_array_equal(total, codes)


@pytest.mark.parametrize("bits", range(1, 9))
def test_unsigned_bits_take_a_plane_each(bits):
    assert len(planes(range(2**bits), offset=True).factors) == bits
