"""Constants of int8 operators, tried on every accumulator.

The engines' roundings are written down here as exact integer arithmetic:
XNNPACK multiplies in float32 and rounds to the nearest even, ruy rounds the
product with a 31-bit multiplier once, the reference kernels twice.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_aqe.converters.targets.builtin import requantization

BINS = [(0, 1), (-6, -3, -1, 1, 3, 6)]


def fixed_point(multiplier):
    """The 31-bit mantissa and the right shift of TFLite's kernels."""
    mantissa, exponent = np.frexp(multiplier)
    mantissa = int(np.rint(mantissa * 2**31))
    if mantissa == 2**31:
        mantissa, exponent = 2**30, exponent + 1
    return mantissa, -int(exponent)


def assert_int32(numbers):
    assert all(-(2**31) <= number < 2**31 for number in numbers)


def xnnpack(sums, multiplier):
    return np.rint(sums.astype("float32") * np.float32(multiplier))


def ruy(sums, multiplier):
    mantissa, shift = fixed_point(multiplier)
    total = 31 + shift
    assert_int32(int(s) << max(-shift, 0) for s in sums)
    return [(int(s) * mantissa + (1 << (total - 1))) >> total for s in sums]


def twice(sums, multiplier):
    mantissa, shift = fixed_point(multiplier)
    left, right = max(-shift, 0), max(shift, 0)
    assert_int32(int(s) << left for s in sums)
    found = []
    for s in sums:
        product = (int(s) << left) * mantissa
        nudge = 1 << 30 if product >= 0 else 1 - (1 << 30)
        # Division of C++ cuts towards 0.
        high = abs(product + nudge) >> 31
        high = high if product + nudge >= 0 else -high
        mask = (1 << right) - 1
        threshold = (mask >> 1) + (high < 0)
        found.append((high >> right) + ((high & mask) > threshold))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("bins", BINS)
@pytest.mark.parametrize("step", [1, 2])
@given(data=st.data())
def test_exact_constants_are_exact_in_every_engine(bins, step, data):
    reach = data.draw(st.integers(1, 400))
    limit = data.draw(st.sampled_from([1, 7, 127]))
    places = st.integers(-reach // step, reach // step + 1)
    thresholds = (
        np.array(sorted(data.draw(places) for _ in bins)) * step - reach % step
    )
    thresholds = np.clip(thresholds, -reach, reach + step)
    found = requantization.find(
        thresholds[:, None],
        bins,
        np.array([reach]),
        step,
        np.array([1]),
        limit,
    )
    factor = int(found.factors[0])
    assert 1 <= factor <= limit
    if not found.exact[0]:
        return
    accumulators = np.arange(-reach, reach + 1, step)
    assert_exact(found, accumulators, thresholds, bins)


# The sums of a dense layer on 8-bit codes of a large image.
@pytest.mark.parametrize("bins", BINS)
@given(data=st.data())
def test_large_sums_stay_in_int32(bins, data):
    reach = data.draw(st.integers(2**24, 2**29))
    edge = st.sampled_from([-reach, reach + 1])
    places = st.one_of(edge, st.integers(-reach, reach + 1))
    thresholds = np.array(sorted(data.draw(places) for _ in bins))
    found = requantization.find(
        thresholds[:, None], bins, np.array([reach]), 1, np.array([1]), 127
    )
    if found.exact[0]:
        accumulators = np.array([-reach, reach, *thresholds, *thresholds - 1])
        accumulators = accumulators[np.abs(accumulators) <= reach]
        assert_exact(found, accumulators, thresholds, bins)


@pytest.mark.parametrize("reach", [2**24, 2**27, 2**29])
@pytest.mark.parametrize("bins", BINS)
def test_large_sums_that_pass_all_or_no_thresholds_are_exact(bins, reach):
    thresholds = np.full((len(bins), 2), [-reach, reach + 1])
    found = requantization.find(
        thresholds, bins, np.full(2, reach), 1, np.ones(2), 127
    )
    assert found.exact.all()


def assert_exact(found, accumulators, thresholds, bins):
    factor, bias = int(found.factors[0]), int(found.biases[0])
    expected = (accumulators >= thresholds[:, None]).sum(0)
    sums = factor * accumulators + bias
    assert_int32(sums)
    for engine in (xnnpack, ruy, twice):
        rounded = np.array(engine(sums, np.float32(found.multipliers[0])))
        passed = (rounded >= np.array(bins)[:, None]).sum(0)
        np.testing.assert_array_equal(passed, expected, engine.__name__)


@pytest.mark.parametrize("reach", [1, 9, 1000])
def test_one_threshold_is_always_exact(reach):
    """Doubled, as for two levels: nothing lies between its bins."""
    thresholds = np.arange(-reach, reach + 2)
    found = requantization.find(
        np.stack([thresholds, thresholds]),
        (0, 1),
        np.full(len(thresholds), reach),
        1,
        np.ones(len(thresholds)),
        127,
    )
    assert found.exact.all()
