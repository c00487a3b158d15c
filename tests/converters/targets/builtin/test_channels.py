"""Thresholds of channels, with their signs turned, on every accumulator."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_aqe.converters.graph import nodes
from keras_aqe.converters.targets.builtin.channels import Channels

LEVELS = {
    "1": [-1, 1],
    "2": [-1, 0, 1],
    "3": [-4, -2, -1, 0, 1, 2, 4],
    "1 unsigned": [0, 1],
    "2 unsigned": [0, 1, 2, 3],
    "3 unsigned": [0, 1, 2, 3, 4, 5, 6, 7],
    "3 fixed": [-4, -3, -2, -1, 0, 1, 2, 3],
}
LIMITS = (1, 7, 127)


def threshold_node(bits, kernel, thresholds):
    source = nodes.Input("x", (None, len(kernel)), levels=np.array([-1, 1]))
    layer = nodes.Sum("dense", (None, kernel.shape[1]), source=source)
    layer.kernel = kernel
    node = nodes.Threshold("quant", layer.shape, source=layer)
    node.levels, node.thresholds = np.array(LEVELS[bits]), thresholds
    return node


@pytest.mark.parametrize("bits", LEVELS)
@given(data=st.data())
def test_turned_channels_return_the_same_codes(bits, data):
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    terms = data.draw(st.integers(1, 9))
    kernel = random.choice([-4, -2, -1, 0, 1, 2, 4], (terms, 5))
    levels = np.array(LEVELS[bits])
    thresholds = np.sort(random.integers(-40, 40, (len(levels) - 1, 5)), axis=0)
    signs, turned = random.choice([-1, 1], (2, 5))
    node = threshold_node(bits, kernel, thresholds)
    channels = Channels(node, signs, turned, LIMITS)
    np.testing.assert_array_equal(channels.kernel, kernel * signs)
    inputs = random.choice([-1, 1], (50, terms))
    sums = inputs @ kernel
    passed = (sums[..., None, :] >= thresholds).sum(-2)
    expected = levels[passed]
    # A turned channel sees the negated sum, and its code is mirrored after.
    seen = sums * turned
    passed = (seen[..., None, :] >= channels.thresholds).sum(-2)
    found = np.take_along_axis(channels.levels, passed, axis=0)
    found = np.where(turned < 0, channels.mirror - found, found)
    np.testing.assert_array_equal(found, expected)


def test_sums_of_odd_numbers_leave_a_wider_gap():
    """All sums of three ±1 are odd: thresholds move to the next odd one."""
    node = threshold_node("1", np.ones((3, 2)), np.array([[0, 2]]))
    channels = Channels(node, np.ones(2), np.ones(2), LIMITS)
    np.testing.assert_array_equal(channels.thresholds, [[1, 3]])
    assert channels.exact.all()
