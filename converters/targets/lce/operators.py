"""Larq Compute Engine's operators, written directly.

LCE's own converter looks for patterns in a graph of floats. It turns what it
does not know into float operators without a word, takes some paddings for
others, and keeps every kernel in float until its end. Here the operators are
custom operators with packed kernels, so a file holds what was asked for.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_aqe.converters.file.custom_ops import custom_op

# Begins the names of all of them.
PREFIX = "Lce"
WORD = 32
# TFLite's numbers of the two paddings.
_PADDINGS = {"SAME": 0, "VALID": 1}
# Stands for an input that an operator does not use.
_UNUSED = np.zeros(1, "float32")


@dataclasses.dataclass(frozen=True)
class Bits:
    """±1, packed along the channels: a bit of 1 is -1.

    Args:
        tensor: INT32 tensor `(batch, rows, columns, words)`.
        channels: Number of channels; each word holds 32.
    """

    tensor: tf.Tensor
    channels: int


@dataclasses.dataclass(frozen=True)
class Stride:
    """How a kernel moves.

    Args:
        strides: Steps down and to the right.
        dilation: Distances of the kernel's taps.
        padding: `"VALID"` or `"SAME"`.
        pad_value: What 'same' padding fills in, 0 or 1. LCE computes 0 only
            for float results, and rightly only where no window sticks out on
            two opposite sides.
    """

    strides: tuple = (1, 1)
    dilation: tuple = (1, 1)
    padding: str = "VALID"
    pad_value: int = 0


def quantize(x):
    """The `Bits` of a float tensor: +1 where it is >= 0.

    On ARM the sign bit decides, so `x` must not be -0.0.
    """
    words = -(-x.shape[-1] // WORD)
    shape = (*x.shape[:-1], words)
    return Bits(custom_op("LceQuantize", [x], shape, tf.int32, {}), x.shape[-1])


def dequantize(bits):
    """`Bits` as a float tensor of ±1."""
    shape = (*bits.tensor.shape[:-1], bits.channels)
    return custom_op("LceDequantize", [bits.tensor], shape, tf.float32, {})


def convolution(bits, kernel, stride, scale, bias):
    """A convolution times a number, plus one for each output, as floats.

    Args:
        bits: `Bits`.
        kernel: ±1, array of shape `(height, width, inputs, outputs)`.
        stride: A `Stride`.
        scale: A number.
        bias: A number for each output, or one for all.
    """
    outputs = kernel.shape[-1]
    scale = np.full(outputs, scale, "float32")
    bias = np.broadcast_to(np.float32(bias), (outputs,))
    inputs = [scale, bias, _UNUSED]
    return _convolution(bits, kernel, stride, inputs, outputs, tf.float32)


def convolution_to_bits(bits, kernel, stride, thresholds):
    """The `Bits` of a convolution: +1 where it is >= an integer threshold.

    The arguments are those of `convolution`.
    """
    taps = np.prod(kernel.shape[:-1])
    outputs = kernel.shape[-1]
    # LCE counts the products that are -1.
    most = (taps - thresholds.astype("int64")) // 2
    inputs = [_UNUSED, _UNUSED, most.astype("int32")]
    words = -(-outputs // WORD)
    tensor = _convolution(bits, kernel, stride, inputs, words, tf.int32)
    return Bits(tensor, outputs)


def max_pool(bits, layer):
    """The `Bits` of a `keras.layers.MaxPooling2D`."""
    rows, columns = layer.pool_size
    down, right = layer.strides
    batch, height, width, words = bits.tensor.shape
    if layer.padding == "same":
        size = -(-height // down), -(-width // right)
    else:
        size = (height - rows) // down + 1, (width - columns) // right + 1
    options = {
        "filter_height": rows,
        "filter_width": columns,
        "stride_height": down,
        "stride_width": right,
        "padding": _PADDINGS[layer.padding.upper()],
    }
    tensor = custom_op(
        "LceBMaxPool2d",
        [bits.tensor],
        (batch, *size, words),
        tf.int32,
        options,
    )
    return Bits(tensor, bits.channels)


def _convolution(bits, kernel, stride, inputs, depth, dtype):
    options = {
        "channels_in": bits.channels,
        "dilation_height_factor": stride.dilation[0],
        "dilation_width_factor": stride.dilation[1],
        "fused_activation_function": 0,
        "pad_values": stride.pad_value,
        "padding": _PADDINGS[stride.padding],
        "stride_height": stride.strides[0],
        "stride_width": stride.strides[1],
    }
    sizes = []
    for size, taps, step, dilation in zip(
        bits.tensor.shape[1:3], kernel.shape, stride.strides, stride.dilation
    ):
        if stride.padding == "VALID":
            size -= (taps - 1) * dilation
        sizes.append(-(-size // step))
    shape = (bits.tensor.shape[0], *sizes, depth)
    inputs = [bits.tensor, _packed(kernel), *inputs]
    return custom_op("LceBconv2d", inputs, shape, dtype, options)


def _packed(kernel):
    """A ±1 kernel as INT32 `(outputs, height, width, words)`."""
    negative = np.moveaxis(kernel < 0, -1, 0)
    missing = -negative.shape[-1] % WORD
    negative = np.pad(negative, [(0, 0)] * 3 + [(0, missing)])
    words = np.packbits(negative, axis=-1, bitorder="little")
    return np.ascontiguousarray(words).view("<i4")


def unpack(tensor, channels):
    """±1 from the tensor of `Bits`.

    Args:
        tensor: An array: words of int32, or of another type if each element
            is a code already.
        channels: How many ±1 end at a word.

    Returns:
        An array whose last axis is `channels`, where there were words.
    """
    if tensor.dtype != np.int32:
        return tensor
    elements = np.ascontiguousarray(tensor).view("uint8")
    negative = np.unpackbits(elements, axis=-1, bitorder="little")
    return 1 - 2 * negative[..., :channels].astype("int64")
