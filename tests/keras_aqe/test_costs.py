"""Costs against sums of the published numbers, operation by operation."""

import itertools

import pytest

from keras_aqe import costs

WIDTHS = (1, 2, 3, 4, 8, 16, 32)
PAIRS = list(itertools.product(WIDTHS, WIDTHS))


@pytest.mark.parametrize(
    "widths, name",
    [
        ((1, 1), "XNOR"),
        ((2, 3), "XNOR"),
        ((3, 3), "SHIFT"),
        ((16, 1), "XNOR ADDER"),
        ((16, 3), "SHIFT ADDER"),
        ((8, 2), "XNOR"),
        ((8, 8), "MAC"),
        ((32, 32), "MAC"),
    ],
)
def test_operation(widths, name):
    assert costs.operation(*widths) == name
    assert costs.operation(*reversed(widths)) == name


@pytest.mark.parametrize("input_bits, weight_bits", PAIRS)
def test_bit_operations_count_pairs_of_bits(input_bits, weight_bits):
    pairs = len(list(itertools.product(range(input_bits), range(weight_bits))))
    assert costs.bit_operations(7, input_bits, weight_bits) == 7 * pairs


@pytest.mark.parametrize("input_bits, weight_bits", PAIRS)
def test_energy_is_that_of_the_table(input_bits, weight_bits):
    narrow, wide = min(input_bits, weight_bits), max(input_bits, weight_bits)
    if wide == 32:
        picojoules = 0.9 + (3.7 if narrow > 3 else 0)
    elif wide == 16:
        picojoules = 0.4 + (1.1 if narrow > 3 else 0)
    else:
        # Cells of an 8-bit multiplier, and bits of a 32-bit adder.
        picojoules = narrow * wide * 0.2 / 64 + (narrow + wide) * 0.1 / 32
    found = costs.energy(10**6, input_bits, weight_bits, 0)
    assert found == pytest.approx(picojoules)
    reading = costs.energy(0, input_bits, weight_bits, 16)
    assert reading == pytest.approx(2 * 1300 / 1e6)


def test_an_8_bit_product_and_a_float_one_take_what_is_published():
    assert costs.energy(10**6, 8, 8, 0) == pytest.approx(0.2 + 0.05)
    for bits in WIDTHS:
        assert costs.energy(10**6, bits, bits, 0, is_float=True) == (
            pytest.approx(4.6)
        )


def test_fewer_bits_take_less():
    energies = [costs.energy(100, bits, bits, bits) for bits in WIDTHS]
    assert energies == sorted(energies)
