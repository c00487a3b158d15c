"""The suite's core on processors with fewer instructions."""

import pathlib

import pytest

from tests import masked

TESTS = pathlib.Path(__file__).parent


@pytest.mark.long
@pytest.mark.parametrize("mask", masked.MASKS)
def test_core_passes(mask):
    parts = ("converters", "keras_aqe/layers", "keras_aqe/models")
    core = [str(TESTS / part) for part in parts]
    assert masked.run(mask, ["-q", "-n", "2", *core]) == 0
