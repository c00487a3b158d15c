"""Constants of packed files, as docs/format.md lays them out."""

import functools

import numpy as np

from keras_aqe.converters.graph.quantizing import distinct
from keras_aqe.converters.graph.thresholds import FLOAT_LIMIT

_POWERS = {bits: 2 ** np.arange(2 ** (bits - 1) - 1) for bits in (2, 3, 4)}
# The codes of each width that the format has.
LEVELS = {
    1: np.array([-1, 1]),
    **{b: np.array([*-p[::-1], 0, *p]) for b, p in _POWERS.items()},
    8: np.arange(-128, 128),
}
_INT32 = np.iinfo("int32")
# How many levels there are from 0 up to a code of 4 bits or fewer.
_MAGNITUDES = np.searchsorted(
    [0, *_POWERS[4]], np.arange(_POWERS[4][-1] + 1)
).astype("uint8")


def width(codes, at_least=1):
    """The least width whose codes include these; `None` if there is none.

    Args:
        codes: Array of whole numbers; `None` has none.
        at_least: The least width that is wanted.
    """
    if codes is None:
        return None
    return _width(tuple(distinct(codes).tolist()), at_least)


# A network has few different sets of codes, and asks for each node.
@functools.lru_cache(maxsize=256)
def _width(codes, at_least):
    for bits, levels in LEVELS.items():
        if bits >= at_least and np.isin(codes, levels).all():
            return bits
    return None


def stored_codes(levels, bits):
    """The codes that the output stage of a width counts up to, ascending.

    Of 8 bits they are the shortest run of a power of two that holds the
    levels, so that each threshold but a few is one that is needed.

    Args:
        levels: Codes of the width, ascending.
        bits: The width.
    """
    if bits != 8:
        return LEVELS[bits]
    count = 1 << int(levels[-1] - levels[0]).bit_length()
    first = min(int(levels[0]), 128 - count)
    return np.arange(first, first + count)


def words(channels, bits):
    """Elements that a pixel takes in an activation tensor."""
    return channels if bits == 8 else -(-channels // 64) * bits


def pixel_bytes(channels, bits):
    """Bytes that a pixel takes in an activation tensor; 32 bits are floats."""
    if bits == 32:
        return 4 * channels
    return words(channels, bits) * (1 if bits == 8 else 8)


def pack_kernel(codes, bits):
    """A kernel's bit planes, the output channel slowest.

    Args:
        codes: Codes of 1 to 4 bits, of shape `(..., outputs)`.
        bits: Their width.

    Returns:
        An uint8 array of shape `(bits, ceil(codes.size / 8))`.
    """
    # As bytes, which large kernels are moved and looked up in fastest.
    codes = np.moveaxis(codes.astype("int8"), -1, 0).ravel()
    magnitude = _MAGNITUDES[np.abs(codes)]
    planes = [magnitude >> p & 1 for p in range(bits - 1)] + [codes < 0]
    return np.stack(
        [np.packbits(plane.astype(bool), bitorder="little") for plane in planes]
    )


def unpack(tensor, channels):
    """Codes from an activation tensor.

    Args:
        tensor: An array: words of int64, or of another type if each element
            is a code already.
        channels: How many codes end at a word.

    Returns:
        An array whose last axis is `channels`, where there were words.
    """
    if tensor.dtype != np.int64:
        return tensor
    width = tensor.shape[-1] // words(channels, 1)
    planes = [
        _bits(tensor[..., plane::width])[..., :channels].astype("int64")
        for plane in range(width)
    ]
    sign = 1 - 2 * planes[-1]
    if width == 1:
        return sign
    magnitude = sum(plane << index for index, plane in enumerate(planes[:-1]))
    return sign * ((1 << magnitude) >> 1)


def _bits(elements):
    elements = np.ascontiguousarray(elements)
    return np.unpackbits(elements.view("uint8"), axis=-1, bitorder="little")


def whole_thresholds(thresholds, levels, bits):
    """Integer thresholds for every one of `stored_codes`.

    Args:
        thresholds: Integers of shape `(len(levels) - 1, channels)`, the
            smallest accumulator of each level but the first.
        levels: Some of the codes of that width, ascending.
        bits: The width.

    Returns:
        An int32 array of shape `(stored codes - 1, channels)`.
    """
    return _for_width(thresholds, levels, bits, _INT32.min, _INT32.max).astype(
        "int32"
    )


def float_thresholds(thresholds, levels, bits):
    """Likewise in float32."""
    thresholds = np.where(thresholds > FLOAT_LIMIT, np.inf, thresholds)
    thresholds = np.where(thresholds <= -FLOAT_LIMIT, -np.inf, thresholds)
    return _for_width(thresholds, levels, bits, -np.inf, np.inf).astype(
        "float32"
    )


def _for_width(thresholds, levels, bits, always, never):
    channels = thresholds.shape[1]
    ends = [np.full((1, channels), value) for value in (always, never)]
    # Rows: the first level, the others, and what is beyond the last.
    rows = np.concatenate([ends[0], thresholds, ends[1]])
    return rows[np.searchsorted(levels, stored_codes(levels, bits)[1:])]
