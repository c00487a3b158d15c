"""Larq Compute Engine's operators, written directly.

LCE's own converter looks for patterns in a graph of floats. It turns what it
does not know into float operators without a word, takes some paddings for
others, and keeps every kernel in float until its end. Here the operators are
custom operators with packed kernels, so a file holds what was asked for.
"""

import dataclasses

import numpy as np
import tensorflow as tf
from flatbuffers import flexbuffers

from keras_aqe.converters.errors import damaged
from keras_aqe.converters.file import flatbuffer, operator_signatures, operators
from keras_aqe.converters.file.custom_ops import custom_op

_WORD = 32
# TFLite's numbers of the two paddings.
_PADDINGS = {"SAME": 0, "VALID": 1}
# Types and axes of inputs and outputs.
_SIGNATURES = {
    "LceBMaxPool2d": operator_signatures.parse("i@4 -> i@4"),
    "LceBconv2d": operator_signatures.parse("i@4 i@4 f@1 f@1 fi@1 -> fi@4"),
    "LceDequantize": operator_signatures.parse("i@1-8 -> f@1-8"),
    "LceQuantize": operator_signatures.parse("f@1-8 -> i@1-8"),
}
# Limits of the options that each needs.
_SIZE = (1, 2**15)
_OPTIONS = {
    "LceBMaxPool2d": {
        "filter_height": _SIZE,
        "filter_width": _SIZE,
        "stride_height": _SIZE,
        "stride_width": _SIZE,
        "padding": (0, 1),
    },
    "LceBconv2d": {
        "channels_in": (1, 2**24),
        "dilation_height_factor": _SIZE,
        "dilation_width_factor": _SIZE,
        "fused_activation_function": (0, 3),
        "pad_values": (0, 1),
        "padding": (0, 1),
        "stride_height": _SIZE,
        "stride_width": _SIZE,
    },
    "LceDequantize": {},
    "LceQuantize": {},
}
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
    words = -(-x.shape[-1] // _WORD)
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
    words = -(-outputs // _WORD)
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
    missing = -negative.shape[-1] % _WORD
    negative = np.pad(negative, [(0, 0)] * 3 + [(0, missing)])
    words = np.packbits(negative, axis=-1, bitorder="little")
    return np.ascontiguousarray(words).view("<i4")


def check(model):
    """Checks what LCE's interpreter takes on trust.

    It reads inputs, outputs and constants of its operators without asking
    whether they are there.

    Args:
        model: A parsed file.

    Raises:
        ConversionError: If an operator of LCE is not as it should be.
    """
    for graph in model.subgraphs:
        names = flatbuffer.operator_names(model, graph)
        for name, operator in zip(names, graph.operators):
            if not name.startswith("Lce"):
                continue
            try:
                _check_operator(model, graph, name, operator)
            except (IndexError, KeyError, TypeError, ValueError) as error:
                raise damaged(
                    f"operator {name} is malformed ({error})"
                ) from error


def _check_operator(model, graph, name, operator):
    _require(name in _SIGNATURES, "Larq Compute Engine has none of this name")
    operators.check_arguments(_SIGNATURES[name], graph, operator)
    options = _options(operator)
    for option, (least, most) in _OPTIONS[name].items():
        value = options.get(option)
        _require(
            type(value) is int and least <= value <= most,
            f"its option {option} is {value}",
        )
    if name == "LceBconv2d":
        _check_convolution(model, graph, operator, options)


def _check_convolution(model, graph, operator, options):
    words = -(-options["channels_in"] // _WORD)
    tensors = [graph.tensors[i] for i in (*operator.inputs, *operator.outputs)]
    image, kernel, *constants, output = tensors
    _require(
        image.shape[3] == kernel.shape[3] == words,
        "its kernel does not fit its input",
    )
    for tensor in (kernel, *constants):
        data = model.buffers[tensor.buffer].data
        _require(
            data is not None and len(data) == 4 * np.prod(tensor.shape),
            "its constants do not have their length",
        )
    # Bits take thresholds, of their type; a float result scale and bias.
    to_bits = output.type == image.type
    for tensor in constants[2:] if to_bits else constants[:2]:
        _require(
            tensor.shape[0] == kernel.shape[0] and tensor.type == output.type,
            "its constants do not fit its kernel",
        )


def _options(operator):
    if operator.customOptions is None:
        return {}
    options = flexbuffers.Loads(bytes(bytearray(operator.customOptions)))
    _require(isinstance(options, dict), "its options are no map")
    return options


def _require(condition, message):
    if not condition:
        raise ValueError(message)
