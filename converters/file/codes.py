"""Codes as the targets store them."""

import numpy as np


def decode(tensor, bits, shape):
    """Codes from a tensor of a file.

    Args:
        tensor: What an interpreter returned: codes as int8 or float32; bit
            planes in 64-bit words (docs/format.md); or the 32-bit words of
            Larq Compute Engine, 1 for negative.
        bits: Width of the codes.
        shape: Shape of the codes.

    Returns:
        Integers of `shape`, or `None` if the tensor does not hold them all.
    """
    if tensor.dtype == np.int64:
        # Words of a flattened tensor lie as before, with gaps at each pixel.
        pixels = tensor.reshape(shape[0], -1, tensor.shape[-1])
        tensor = _from_planes(pixels, shape)
    elif tensor.dtype == np.int32:
        # Of wider codes this is one plane of several.
        tensor = _from_words(tensor, shape[-1]) if bits == 1 else None
    if tensor is None or tensor.size != np.prod(shape):
        return None
    return np.rint(tensor).astype("int64").reshape(shape)


def _from_words(words, channels):
    return 1 - 2 * _unpacked(words)[..., :channels].astype("int64")


def _from_planes(words, shape):
    channels = shape[-1]
    width = words.shape[-1] // -(-channels // 64)
    planes = [
        _unpacked(words[..., plane::width])[..., :channels].astype("int64")
        for plane in range(width)
    ]
    sign = 1 - 2 * planes[-1]
    if width == 1:
        return sign
    magnitude = sum(plane << index for index, plane in enumerate(planes[:-1]))
    return sign * ((1 << magnitude) >> 1)


def _unpacked(words):
    words = np.ascontiguousarray(words)
    return np.unpackbits(words.view("uint8"), axis=-1, bitorder="little")
