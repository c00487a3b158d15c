"""Searches against each number in turn."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_aqe import quantizers
from keras_aqe.converters.graph import thresholds


class Halves(quantizers.Quantizer):
    """One that the converter does not know."""

    bits, unit, levels = 2, 0.5, np.array([0.0, 0.5, 1.0], "float32")

    def codes(self, x):
        return keras.ops.round(2 * keras.ops.clip(x, 0, 1))

    def hard(self, x):
        return self.codes(x) / 2


QUANTIZERS = {
    "1": quantizers.Binary(),
    "2": quantizers.Ternary(),
    "3": quantizers.PowerOfTwo(3, relative=False),
    "3 apart": quantizers.PowerOfTwo(3, (0.5, 2.0, 1e20), relative=False),
    "4": quantizers.FixedPoint(4),
    "unknown": Halves(),
}
SCALE = np.float32([0.11, -0.3, 0.0, 40, -1e-3, np.nan])
BIAS = np.float32([0.2, 0.0, 0.6, -7.0, 0.31, 0.0])


def chain(x):
    return x * SCALE + BIAS


def smallest(numbers, codes, levels):
    """The smallest number that reaches each level, the next one if none."""
    reached = codes[:, None] >= levels[1:, None]
    none = numbers[-1] + 1
    return np.where(reached, numbers[:, None, None], none).min(axis=0)


@pytest.mark.parametrize("limit", [1, 40, 5000])
@pytest.mark.parametrize("name", QUANTIZERS)
def test_thresholds_of_integers_are_the_smallest_of_all(name, limit):
    quantizer = QUANTIZERS[name]
    numbers = np.arange(-limit, limit + 1)
    turn, found = thresholds.search(
        (None, 1, 1, len(SCALE)), numbers[[0, -1]], [chain], quantizer
    )
    assert (turn == np.where(falls(quantizer, limit), -1, 1)).all()
    x = numbers[:, None].astype("float32") * turn
    codes = np.asarray(quantizer.hard(chain(x)))
    np.testing.assert_array_equal(
        found, smallest(numbers, codes, np.asarray(quantizer.levels))
    )


def falls(quantizer, limit):
    ends = np.float32([[-limit], [limit]])
    low, high = np.asarray(quantizer.hard(chain(ends)))
    return high < low


@pytest.mark.parametrize("name", QUANTIZERS)
def test_no_float_is_between_a_threshold_and_the_one_below(name):
    quantizer, levels = QUANTIZERS[name], QUANTIZERS[name].levels
    turn, found = thresholds.search((None, 6), None, [chain], quantizer)
    below = np.nextafter(found, np.float32(-np.inf))
    # TensorFlow takes what is smaller for 0.
    tiny = np.finfo("float32").tiny
    below = np.where(np.abs(below) < tiny, -tiny, below)
    reaches = [
        np.asarray(quantizer.hard(chain(tf.constant(x * turn))))
        >= levels[1:, None]
        for x in (found, below)
    ]
    inside = np.abs(found) < thresholds.FLOAT_LIMIT
    assert inside[:, :2].any()
    assert reaches[0][inside].all() and not reaches[1][inside].any()


def test_quantizers_of_one_configuration_are_searched_once():
    runs = []

    class Counted(quantizers.Binary):
        def hard(self, x):
            runs.append(self)
            return super().hard(x)

    def search(quantizer):
        thresholds.search((None, 6), None, [tf.identity], quantizer)
        return len(runs)

    # A subclass computes what it likes, each of them.
    once = search(Counted())
    assert search(Counted()) == 2 * once
    for scale in (1.0, 0.25):
        _, found = thresholds.search(
            (None, 6), None, [tf.identity], quantizers.Ternary(scale=scale)
        )
        np.testing.assert_allclose(abs(found), 0.5 * scale, rtol=1e-6)
