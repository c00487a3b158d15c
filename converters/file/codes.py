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
        channels: How many codes end at a word, where not those of the last
            axis: words of a flattened tensor lie as they did before.
    """

    tensors: tuple
    factors: tuple = (1.0,)
    offset: float = 0.0
    channels: int | None = None

    @classmethod
    def described(cls, entry):
        """Where a file's description says that they stand."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{key: entry[key] for key in names if key in entry})

    def decode(self, shape):
        """The codes as an array of float32, from arrays of `tensors`."""
        codes = np.float32(self.offset)
        for tensor, factor in zip(self.tensors, self.factors):
            codes = codes + np.float32(factor) * decode(
                tensor, shape, self.channels or shape[-1]
            )
        return codes


def decode(tensor, shape, channels):
    """Codes from a tensor of a file.

    Args:
        tensor: What an interpreter returned: codes as int8 or float32; bit
            planes in 64-bit words (docs/format.md); or a plane of ±1 in the
            32-bit words of Larq Compute Engine, a bit of 1 for -1.
        shape: Shape of the codes.
        channels: How many codes end at a word.

    Returns:
        An array of `shape` in float32.
    """
    if tensor.dtype == np.int64:
        tensor = _from_planes(tensor, channels)
    elif tensor.dtype == np.int32:
        tensor = _from_words(tensor, channels)
    return tensor.astype("float32").reshape(shape)


def _from_words(words, channels):
    return 1 - 2 * _unpacked(words)[..., :channels].astype("int64")


def _from_planes(words, channels):
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
