"""The operators of docs/format.md, written from TensorFlow."""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_aqe.converters.file.custom_ops import custom_op_outputs
from keras_aqe.converters.targets.packed import packing, pooling

# Begins the names of all of them.
PREFIX = "Aqe"
_FORMAT = 1
# Of operators that write fewer codes of 8 bits than all.
_FORMAT_OF_FEWER_CODES = 2
# Of those that add to their floats or quantize them.
_FORMAT_OF_STAGES = 3
# Of those whose input is several tensors, that limit their floats, or that
# quantize them more than once.
_FORMAT_OF_PARTS = 4
# Of those that write nothing of their floats but codes, and add nothing.
_FORMAT_OF_CODES_ALONE = 5
# By parts of the names of the runtime's kernels; all others multiply.
_ARITHMETIC = {"planes": "XNOR", "xnor": "XNOR", "shift": "SHIFT"}


def arithmetic(operator, kernel):
    """What a kernel of the runtime does with bits: see `Target`."""
    del operator
    found = [_ARITHMETIC.get(part) for part in kernel.split("_")]
    return next(filter(None, found), None)


@dataclasses.dataclass(frozen=True)
class Codes:
    """A tensor of codes as the format packs them.

    Args:
        tensor: Words or int8 codes, `(batch, ..., elements of a pixel)`.
        bits: Width of a code in the file.
        channels: Channels of a pixel.
    """

    tensor: tf.Tensor
    bits: int
    channels: int


@dataclasses.dataclass(frozen=True)
class Output:
    """How an operator ends: in codes of `bits`, or in floats if that is 32.

    Args:
        bits: 1 to 4, 8 or 32.
        constants: Thresholds and directions, or scale, bias and sometimes
            an offset.
        rounding: Whether codes are found by scale and bias.
        first: The least of the codes of 8 bits that thresholds tell apart.
        addend: What is added to floats, a tensor of their shape, or `None`.
        limits: What floats are limited to then, or `None`.
        quantizers: `Output`s of codes of these floats.
        keeps_floats: Whether they are written as well.
    """

    bits: int
    constants: list
    rounding: bool = False
    first: int = -128
    addend: tf.Tensor | None = None
    limits: tuple[float, float] | None = None
    quantizers: tuple["Output", ...] = ()
    keeps_floats: bool = True

    def all_constants(self):
        """Those of the quantizers as well, in the file's order."""
        limits = [] if self.limits is None else [np.float32(self.limits)]
        behind = [c for each in self.quantizers for c in each.constants]
        return [*self.constants, *limits, *behind]

    def options(self):
        """Those that say so in the file."""
        options = {"output_bits": self.bits}
        if self.rounding:
            options["rounding"] = 1
        elif self.bits == 8 and self.constants:
            code_bits = len(self.constants[0]).bit_length()
            if code_bits < 8:
                options["format"] = _FORMAT_OF_FEWER_CODES
                options["code_bits"] = code_bits
                options["first_code"] = self.first
        if len(self.constants) == 3:
            options["offset"] = 1
        if self.addend is not None:
            options |= {"format": _FORMAT_OF_STAGES, "addend": 1}
        for number, quantizer in enumerate(self.quantizers, 1):
            own = quantizer.options()
            own["bits"] = own.pop("output_bits")
            own.pop("format", None)
            prefix = "quantizer" if number == 1 else f"quantizer{number}"
            options |= {f"{prefix}_{key}": own[key] for key in own}
            options["format"] = _FORMAT_OF_STAGES
        if self.limits is not None:
            options["limits"] = 1
        if self.limits is not None or len(self.quantizers) > 1:
            options["format"] = _FORMAT_OF_PARTS
        if not self.keeps_floats and self.addend is None:
            options["format"] = _FORMAT_OF_CODES_ALONE
        return options


def to_codes(bits, thresholds, direction=1, first=-128):
    """An output stage of codes.

    Args:
        bits: Their width.
        thresholds: As `packing` makes them, a column for each channel.
        direction: ±1 for each channel.
        first: The least of `packing.stored_codes`.
    """
    direction = np.broadcast_to(direction, thresholds.shape[1:])
    return Output(bits, [thresholds, direction.astype("int8")], first=first)


def to_float(channels, scale=1.0, bias=0.0, offset=None):
    """An output stage of floats: `(accumulator + offset) * scale + bias`."""
    constants = [
        np.broadcast_to(values, (channels,)).astype("float32")
        for values in (scale, bias, offset)
        if values is not None
    ]
    return Output(32, constants)


def added(output, addend):
    """An output stage of floats that are added to a tensor of their shape."""
    return dataclasses.replace(output, addend=addend)


def limited(output, limits):
    """An output stage of floats that are limited, after an addition."""
    return dataclasses.replace(output, limits=limits)


def quantized(output, quantizers, keeps_floats):
    """An output stage of floats that are quantized.

    Args:
        output: The stage of the floats.
        quantizers: Those of their codes.
        keeps_floats: Whether the floats are written as well.
    """
    return dataclasses.replace(
        output, quantizers=tuple(quantizers), keeps_floats=keeps_floats
    )


def to_rounded(channels, scale, bias=0.0, offset=None):
    """An output stage of int8 codes: what `to_float` has, rounded."""
    output = to_float(channels, scale, bias, offset)
    return dataclasses.replace(output, bits=8, rounding=True)


def weighted_sum(
    x, kernel, bits, output, shape, window=None, pool=None, image=()
):
    """AqeConv2D, AqeDepthwiseConv2D or AqeFullyConnected.

    Args:
        x: `Codes`, a float tensor or an uint8 image.
        kernel: Codes, `(inputs, outputs)` or
            `(height, width, inputs / groups, outputs)`.
        bits: Width of the kernel.
        output: The `Output`.
        shape: Shape of the sums.
        window: The `nodes.Window` of a convolution.
        pool: The window of the max pool after it: see `max_pool`.
        image: Scale and offset for each channel of an uint8 image.

    Returns:
        `Codes` or a float tensor; where the output has quantizers the float
        tensor, or `None`, and a list of their `Codes`.
    """
    channels = kernel.shape[-1]
    options = {"weight_bits": bits, "output_channels": channels}
    name = "AqeFullyConnected"
    if window is not None:
        groups = _channels(x) // kernel.shape[2]
        options |= {"groups": groups, **_window_options(window, kernel)}
        name = "AqeConv2D"
        if pool is not None:
            options |= _pool_options(*pool)
            shape = (None, *pooling.pooled(shape[1:3], pool), channels)
        elif kernel.shape[2] == 1 and groups > 1 and not image:
            name = "AqeDepthwiseConv2D"
            options["depth_multiplier"] = channels // groups
    weights = packing.pack_kernel(kernel, bits)
    return _write(name, x, [weights], output, image, shape, options)


def quantize(parts, output):
    """AqeQuantize: codes of float tensors.

    Args:
        parts: The tensors, whose channels are side by side in the codes.
        output: The `Output`.
    """
    first, *others = parts
    channels = sum(part.shape[-1] for part in parts)
    options = {}
    if others:
        options = {
            "format": _FORMAT_OF_PARTS,
            "input_channels": channels,
            "parts": len(parts),
        }
    shape = (*first.shape[:-1], channels)
    return _write("AqeQuantize", first, others, output, (), shape, options)


def dequantize(codes, unit):
    """AqeDequantize: the float values of codes."""
    shape = (*codes.tensor.shape[:-1], codes.channels)
    output = to_float(codes.channels, unit)
    return _write("AqeDequantize", codes, [], output, (), shape, {})


def max_pool(codes, window):
    """AqeMaxPool2D.

    Args:
        codes: `Codes` with axes for rows and columns.
        window: What `pooling.window` returns.
    """
    shape, options = _pooling(codes, window)
    output = Output(codes.bits, [])
    return _write("AqeMaxPool2D", codes, [], output, (), shape, options)


def average_pool(codes, window, output):
    """AqeAveragePool2D; see `max_pool`."""
    shape, options = _pooling(codes, window)
    return _write("AqeAveragePool2D", codes, [], output, (), shape, options)


def _pooling(codes, window):
    size = pooling.pooled(codes.tensor.shape[1:3], window)
    return (None, *size, codes.channels), _pool_options(*window)


def _pool_options(size, strides, padding):
    return {
        "pool_height": size[0],
        "pool_width": size[1],
        "pool_stride_height": strides[0],
        "pool_stride_width": strides[1],
        "pool_padding": ["valid", "same"].index(padding),
    }


def _window_options(window, kernel):
    options = {"padding": 0}
    (top, bottom), (left, right) = window.pads
    if any((top, bottom, left, right)):
        options = {
            "padding": 2,
            "pad_top": top,
            "pad_bottom": bottom,
            "pad_left": left,
            "pad_right": right,
            "pad_value": int(window.pad_code),
        }
    pairs = {
        "kernel": kernel.shape,
        "stride": window.strides,
        "dilation": window.dilation,
    }
    for name, (height, width, *_) in pairs.items():
        options |= {f"{name}_height": height, f"{name}_width": width}
    return options


def reshape(x, shape):
    """A float tensor or `Codes` with other axes between batch and channels."""
    if isinstance(x, Codes):
        shape = (*shape[:-1], x.tensor.shape[-1])
        return dataclasses.replace(x, tensor=reshape(x.tensor, shape))
    if tuple(x.shape[1:]) == tuple(shape[1:]):
        return x
    return tf.reshape(x, (-1, *shape[1:]))


def repeat(x, axis, times):
    """A tensor that has each part along an axis so many times in a row."""
    shape = x.shape
    parts = int(np.prod(shape[1 : axis + 1]))
    x = tf.reshape(x, (-1, parts, int(np.prod(shape[axis + 1 :]))))
    x = tf.concat([x] * times, axis=-1)
    return tf.reshape(
        x, (-1, *shape[1:axis], shape[axis] * times, *shape[axis + 1 :])
    )


def _channels(x):
    return x.channels if isinstance(x, Codes) else x.shape[-1]


def _write(name, x, constants, output, last_constants, shape, options):
    is_codes = isinstance(x, Codes)
    options = {
        "format": _FORMAT,
        "input_channels": _channels(x),
        "input_bits": x.bits if is_codes else 32,
        **output.options(),
        **options,
    }
    channels, quantizers = shape[-1], output.quantizers
    results = [_result(each.bits, shape) for each in quantizers]
    if not quantizers or output.keeps_floats:
        results.insert(0, _result(output.bits, shape))
    tensors = custom_op_outputs(
        name,
        [
            x.tensor if is_codes else x,
            *constants,
            *output.all_constants(),
            *last_constants,
            *(() if output.addend is None else [output.addend]),
        ],
        results,
        options,
    )
    if quantizers:
        floats = tensors[0] if output.keeps_floats else None
        codes = [
            Codes(tensor, each.bits, channels)
            for tensor, each in zip(tensors[-len(quantizers) :], quantizers)
        ]
        return floats, codes
    if output.bits == 32:
        return tensors[0]
    return Codes(tensors[0], output.bits, channels)


def _result(bits, shape):
    """Shape and type of an output of so many bits."""
    if bits == 32:
        return (None, *shape[1:]), tf.float32
    elements = packing.words(shape[-1], bits)
    return (None, *shape[1:-1], elements), tf.int8 if bits == 8 else tf.int64
