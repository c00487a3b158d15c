"""Cases of several parameters."""

import itertools

import pytest


def each_once(*axes):
    """All combinations; those are `long` whose every value others have, too.

    The others are the first values of all axes, the second ones, and so on;
    shorter axes begin again.
    """
    few = {
        tuple(axis[place % len(axis)] for axis in axes)
        for place in range(max(map(len, axes)))
    }
    return [
        pytest.param(*case, marks=() if case in few else pytest.mark.long)
        for case in itertools.product(*axes)
    ]
