"""The limits of docs/format.md, as runtime/include/keras_aqe/limits.h has them.

Each function says in words what goes beyond one, or returns `None`.
"""

import numpy as np

from keras_aqe.converters.targets.packed import packing

MAX_CHANNELS = 1048576
MAX_WINDOW = 32768
MAX_SIZE = 1073741823
MAX_TENSOR_BYTES = 2147483647
MAX_SUM = 2147483646
MIN_PAD_VALUE = -128
MAX_PAD_VALUE = 127


def of_tensor(shape, bits):
    """Of one example's activations.

    Args:
        shape: Their shape, `None` for the batch in front.
        bits: Width of their codes in the file; 32 for floats.
    """
    *positions, channels = shape[1:]
    pixels = int(np.prod(positions, dtype="int64"))
    if channels > MAX_CHANNELS:
        return f"{channels} channels are more than {MAX_CHANNELS}"
    if pixels > MAX_SIZE:
        return f"{pixels} positions are more than {MAX_SIZE}"
    size = pixels * packing.pixel_bytes(channels, bits)
    if size > MAX_TENSOR_BYTES:
        return f"{size} bytes of activations are more than {MAX_TENSOR_BYTES}"
    return None


def of_window(size, window, strides, dilation=(1, 1)):
    """Of a kernel or a pooling window.

    Args:
        size: Rows and columns of the input.
        window: Rows and columns of the window.
        strides: Its strides.
        dilation: The distances of its taps.
    """
    numbers = {"window": window, "stride": strides, "dilation": dilation}
    for name, pair in numbers.items():
        if max(pair) > MAX_WINDOW:
            return f"a {name} of {max(pair)} is more than {MAX_WINDOW}"
    for given, taps, distance in zip(size, window, dilation):
        reach = 2 * ((taps - 1) * distance + 1) + given
        if reach > MAX_SIZE:
            return (
                f"{given} rows or columns and twice the window's reach are "
                f"more than {MAX_SIZE}"
            )
    return None


def of_sum(terms, *levels):
    """Of an accumulator.

    Args:
        terms: The number of products that it adds up.
        *levels: The codes of each factor.
    """
    largest = [int(np.abs(codes).max()) for codes in levels]
    if terms * int(np.prod(largest, dtype="int64")) > MAX_SUM:
        return f"a sum of {terms} products can overflow 32 bits"
    return None


def holds_pad(code):
    """Whether a number can be the format's `pad_value`."""
    return float(code).is_integer() and MIN_PAD_VALUE <= code <= MAX_PAD_VALUE
