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
    if tensor.dtype == np.int32:
        tensor = _from_words(tensor, shape[-1]) if bits == 1 else tensor
    if tensor.size != np.prod(shape):
        return None
    return np.rint(tensor).astype("int64").reshape(shape)


def _from_words(words, channels):
    bits = np.unpackbits(
        np.ascontiguousarray(words).view("uint8"), axis=-1, bitorder="little"
    )
    return 1 - 2 * bits[..., :channels].astype("int64")
