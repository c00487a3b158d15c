"""Searches where a quantizer's code changes, to the last number.

The numbers are integers, or all values of float32 in their order.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_aqe.converters.graph import quantizing

# Beyond any sum of image values, and far from float32's overflow.
FLOAT_LIMIT = np.float32(1e30)
# A search looks at about so many numbers at once. Running a chain takes about
# as long for one as for these.
_NUMBERS = 2**13


def search(shape, levels, functions, quantizer):
    """Finds thresholds of what a chain of functions and a quantizer make.

    Args:
        shape: Shape of what the chain takes, channels last.
        levels: The least and the greatest of the integers that it takes;
            `None` if it takes floats.
        functions: Functions from a tensor to a tensor, each monotone in each
            channel alone.
        quantizer: The quantizer after them.

    Returns:
        ±1 for each channel, which numbers have to be multiplied with so that
        codes rise with them, and the thresholds of these products, shape
        `(len(levels) - 1, channels)`, ascending; a threshold that no number
        reaches is beyond all of them.
    """
    to_value, limit = np.float32, int(limit_of(levels))
    if levels is None:
        to_value, limit = _nth_float, int(_float_rank(FLOAT_LIMIT))
    reaches = _steps(quantizer)
    turn, numbers = _narrow(
        lambda n: reaches(evaluate(shape, functions, to_value(n))),
        (len(quantizer.levels) - 1, shape[-1]),
        limit,
    )
    return turn.astype("float32"), to_value(numbers)


def limit_of(levels):
    """The greatest number that a search looks at."""
    return FLOAT_LIMIT if levels is None else levels[-1]


def evaluate(shape, functions, values):
    """What a chain makes of values whose last axis are channels.

    Args:
        shape: Shape of what the chain takes.
        functions: Its functions.
        values: An array.
    """
    spatial = (1,) * (len(shape) - 2)
    with tf.init_scope():
        # TensorFlow takes the least of numbers for 0, which NumPy does not.
        x = tf.constant(values.reshape(-1, *spatial, shape[-1]), tf.float32)
        for function in functions:
            x = function(x)
        return x.numpy().reshape(values.shape)


@dataclasses.dataclass(frozen=True)
class _Hard:
    """A quantizer's function and its levels, which a configuration tells."""

    config: str
    hard: Callable = dataclasses.field(compare=False)
    levels: np.ndarray = dataclasses.field(compare=False)


def _steps(quantizer):
    """Function from values to whether each level but the first is reached.

    Comparing with a few numbers is far faster than the quantizer itself, and
    a network has few different ones.
    """
    if not quantizing.is_understood(quantizer):
        return _compared(quantizer.hard, quantizer.levels)
    config = {**quantizer.get_config(), "name": type(quantizer).__name__}
    return _known_steps(_Hard(repr(config), quantizer.hard, quantizer.levels))


@functools.lru_cache(maxsize=64)
def _known_steps(quantizer):
    return _compared(quantizer.hard, quantizer.levels)


def _compared(hard, levels):
    levels = np.asarray(levels)[1:, None]

    def reaches(ranks):
        return evaluate((None, 1), [hard], _nth_float(ranks)) >= levels

    # Infinity is the last of numbers; what is not reached there is NaN.
    _, ranks = _narrow(reaches, levels.shape, int(_float_rank(np.inf)))
    steps = _nth_float(ranks)
    nan = np.full((1, 1), np.nan, "float32")
    of_nan = evaluate((None, 1), [hard], nan) >= levels
    return lambda x: (x >= steps) | (np.isnan(x) & of_nan)


def _narrow(reaches, shape, limit):
    """The smallest number that reaches each level, for all levels at once.

    Args:
        reaches: Function from numbers, an array that broadcasts to `(n,
            levels, channels)`, to whether each reaches its level.
        shape: Number of levels and of channels.
        limit: The greatest magnitude of a number.

    Returns:
        1 for each channel, or -1 where levels are reached by smaller numbers,
        not by greater ones, and the smallest of the numbers times that.
    """
    half = np.linspace(0, limit, max(_NUMBERS // shape[1], 15) // 2)
    half = np.unique(half.astype("int64"))
    numbers = np.concatenate([-half[:0:-1], half])
    every = np.broadcast_to(numbers[:, None, None], (len(numbers), 1, shape[1]))
    reached = reaches(every)
    turn = 1 - 2 * (reached[-1].sum(axis=0) < reached[0].sum(axis=0))
    # As many do not reach a level, from the least on.
    missed = len(numbers) - reached.sum(axis=0)
    ends = np.concatenate([[-limit - 1], numbers, [limit + 1]])
    # Invariant: the level is not reached below `low`, and is at `high`.
    low, high = ends[missed] + 1, ends[missed + 1]
    count = max(_NUMBERS // high.size, 15)
    parts = np.arange(1, count + 1)[:, None, None]
    while (low < high).any():
        step = high - low
        reached = reaches((low + step * parts // (count + 1)) * turn)
        missed = count - reached.sum(axis=0)
        high = low + step * (missed + 1) // (count + 1)
        low = np.where(missed, low + step * missed // (count + 1) + 1, low)
        low = np.minimum(low, high)
    return turn, high


def _float_rank(value):
    """The number of positive float32 values up to `value`."""
    return np.float32(value).view("int32")


def _nth_float(rank):
    """The float32 values of signed ranks, the inverse of `_float_rank`."""
    magnitude = np.abs(rank).astype("int32").view("float32")
    return np.where(rank < 0, -magnitude, magnitude)
