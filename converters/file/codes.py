"""Codes as the targets store them."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Stored:
    """Where codes stand: `sum_i factors[i] * tensors[i] + offset`.

    Args:
        tensors: Tensors, or their indices in a file.
        factors: A number for each.
        offset: A number.
    """

    tensors: tuple
    factors: tuple = (1.0,)
    offset: float = 0.0

    def decode(self, shape):
        """The codes as an array of float32, from arrays of `tensors`."""
        codes = np.float32(self.offset)
        for tensor, factor in zip(self.tensors, self.factors):
            codes = codes + np.float32(factor) * decode(tensor, shape)
        return codes


def decode(tensor, shape):
    """Codes from a tensor of a file.

    Args:
        tensor: What an interpreter returned: codes as int8 or float32; bit
            planes in 64-bit words (docs/format.md); or a plane of ±1 in the
            32-bit words of Larq Compute Engine, a bit of 1 for -1.
        shape: Shape of the codes.

    Returns:
        An array of `shape` in float32.
    """
    if tensor.dtype == np.int64:
        # Words of a flattened tensor lie as before, with gaps at each pixel.
        pixels = tensor.reshape(shape[0], -1, tensor.shape[-1])
        tensor = _from_planes(pixels, shape)
    elif tensor.dtype == np.int32:
        tensor = _from_words(tensor, shape[-1])
    return tensor.astype("float32").reshape(shape)


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
