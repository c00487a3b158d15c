"""Runs a packed file in NumPy, written from docs/format.md alone: neither the
runtime nor the converters are asked. Plain and slow; files of custom operators
only."""

import itertools

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from tests.runtime.packed_files import apply_thresholds
from tests.runtime.packed_files import pack_activations as pack
from tests.runtime.packed_files import unpack_activations as unpack

_DTYPES = {
    schema.TensorType.FLOAT32: "<f4",
    schema.TensorType.INT32: "<i4",
    schema.TensorType.UINT8: "u1",
    schema.TensorType.INT64: "<i8",
    schema.TensorType.INT8: "i1",
}
_VALID, _SAME, _EXPLICIT = 0, 1, 2


class Reader:
    """A packed file.

    Args:
        file: The file as bytes.
    """

    def __init__(self, file):
        self._model = schema.ModelT.InitFromPackedBuf(file, 0)
        (self._graph,) = self._model.subgraphs

    def run(self, *inputs):
        """What all operators compute, in their order.

        Returns:
            A list of pairs: the operator's name, and each of its outputs;
            codes as integers where the operator computes codes.
        """
        values = {
            i: self._constant(tensor)
            for i, tensor in enumerate(self._graph.tensors)
        }
        values |= dict(zip(self._graph.inputs, inputs))
        results = []
        for operator in self._graph.operators:
            name, options = self._read(operator)
            tensors = [values[i] for i in operator.inputs]
            addend = tensors.pop() if options.get("addend", 0) else None
            output = getattr(self, "_" + name)(options, *tensors)
            if addend is not None:
                output = addend + output
            widths = [options.get("output_bits", 32)]
            if name == "AqeMaxPool2D":
                widths = [options["input_bits"]]
            behind = tensors[4 + options.get("offset", 0) :]
            if options.get("limits", 0):
                (low, high), *behind = behind
                output = np.where(output < low, low, output)
                output = np.where(output > high, high, output)
            outputs = [output]
            for prefix in _quantizers(options):
                codes, behind = _quantized(options, prefix, output, behind)
                outputs.append(codes)
                widths.append(options[f"{prefix}_bits"])
            # The codes are the last, and may be all.
            kept = len(operator.outputs)
            for target, output, bits in zip(
                operator.outputs, outputs[-kept:], widths[-kept:], strict=True
            ):
                values[target] = output if bits == 32 else pack(output, bits)
                results.append((name, output))
        return results

    def _constant(self, tensor):
        data = self._model.buffers[tensor.buffer].data
        if data is None or tensor.type not in _DTYPES:
            return None
        values = np.frombuffer(bytes(data), _DTYPES[tensor.type])
        return values.reshape(tensor.shape)

    def _read(self, operator):
        code = self._model.operatorCodes[operator.opcodeIndex]
        options = flexbuffers.Loads(bytes(operator.customOptions))
        assert options["format"] in (1, 2, 3, 4, 5)
        return code.customCode.decode(), options

    def _AqeConv2D(self, options, x, weights, *constants):
        groups = options.get("groups", 1)
        channels = options["input_channels"] // groups
        outputs = options["output_channels"]
        x = _values(options, x, constants)
        size = options["kernel_height"], options["kernel_width"]
        kernel = _codes(weights, options, (outputs, *size, channels))
        each = outputs // groups
        acc = [
            _convolve(
                options,
                x[..., g * channels : (g + 1) * channels],
                kernel[g * each : (g + 1) * each],
            )
            for g in range(groups)
        ]
        acc = np.concatenate(acc, axis=-1)
        if "pool_height" in options:
            acc = _windows(options, acc)[0].max(axis=(3, 4))
        return _finish(options, acc, constants)

    def _AqeDepthwiseConv2D(self, options, x, weights, *constants):
        channels = options["input_channels"]
        multiplier = options["depth_multiplier"]
        size = options["kernel_height"], options["kernel_width"]
        kernel = _codes(weights, options, (channels * multiplier, *size, 1))
        x = _values(options, x, constants)
        acc = [
            _convolve(
                options,
                x[..., c : c + 1],
                kernel[c * multiplier : (c + 1) * multiplier],
            )
            for c in range(channels)
        ]
        return _finish(options, np.concatenate(acc, axis=-1), constants)

    def _AqeFullyConnected(self, options, x, weights, *constants):
        x = _values(options, x, constants)
        x = x.reshape(len(x), 1, 1, -1)
        kernel = _codes(
            weights, options, (options["output_channels"], 1, 1, x.shape[-1])
        )
        acc = _sum(x[:, :, :, None, None], kernel)
        return _finish(options, acc[:, 0, 0], constants)

    def _AqeMaxPool2D(self, options, x):
        x = unpack(x, options["input_bits"], options["input_channels"])
        return _windows(options, x)[0].max(axis=(3, 4)).astype(int)

    def _AqeAveragePool2D(self, options, x, *constants):
        x = unpack(x, options["input_bits"], options["input_channels"])
        windows, inside = _windows(options, x)
        acc = np.where(inside, windows, 0).sum(axis=(3, 4)).astype(int)
        count = inside.sum(axis=(3, 4))
        scaled = options["output_bits"] == 32 or options.get("rounding", 0)
        if not (scaled and constants):
            return _finish(options, acc, constants)
        mean = acc.astype(np.float32) / count.astype(np.float32)
        return _finish(options, mean, constants)

    def _AqeQuantize(self, options, *tensors):
        count = options.get("parts", 1)
        x = np.concatenate(tensors[:count], axis=-1)
        return _finish(options, x, tensors[count:])

    def _AqeDequantize(self, options, x, *constants):
        x = unpack(x, options["input_bits"], options["input_channels"])
        if not constants:
            return x.astype(np.int8)
        return _finish({"output_bits": 32}, x, constants)


def _values(options, x, constants):
    """Codes or float32 values of an input."""
    bits = options["input_bits"]
    if bits != 32:
        return unpack(x, bits, options["input_channels"])
    if x.dtype == np.uint8:
        scale, offset = constants[-2:]
        return x.astype(np.float32) * scale + offset
    return x


def _codes(weights, options, shape):
    """Weight codes from their planes, in the order of their numbers."""
    bits = options["weight_bits"]
    planes = np.unpackbits(weights, axis=1, bitorder="little")
    count = np.prod(shape)
    assert not planes[:, count:].any()
    sign = np.where(planes[bits - 1], -1, 1)
    if bits == 1:
        return sign[:count].reshape(shape)
    magnitude = sum(planes[p].astype(int) << p for p in range(bits - 1))
    value = np.where(magnitude == 0, 0, 2 ** np.maximum(magnitude - 1, 0))
    return (sign * value)[:count].reshape(shape)


def _placement(size, extent, stride, padding, before=0, after=0):
    """How many outputs one axis has, and the padding before and after."""
    if padding == _SAME:
        outputs = -(-size // stride)
        total = max((outputs - 1) * stride + extent - size, 0)
        before, after = total // 2, total - total // 2
    return (size + before + after - extent) // stride + 1, (before, after)


def _patches(x, fill, size, stride, dilation, places):
    """[batch, y, x, row, column, channel]; `fill` stands where padded."""
    (rows, pad_y), (columns, pad_x) = places
    x = np.pad(x, [(0, 0), pad_y, pad_x, (0, 0)], constant_values=fill)
    at = [
        np.arange(count)[:, None] * s + np.arange(k) * d
        for count, k, s, d in zip((rows, columns), size, stride, dilation)
    ]
    return x[:, at[0][:, None, :, None], at[1][None, :, None, :]]


def _convolve(options, x, kernel):
    sides = ("height", "width")
    size, stride, dilation = (
        tuple(options[f"{name}_{side}"] for side in sides)
        for name in ("kernel", "stride", "dilation")
    )
    pads = [("pad_top", "pad_bottom"), ("pad_left", "pad_right")]
    places = [
        _placement(
            n,
            (k - 1) * d + 1,
            s,
            options["padding"],
            *(options.get(name, 0) for name in names),
        )
        for n, k, s, d, names in zip(x.shape[1:3], size, stride, dilation, pads)
    ]
    fill = options.get("pad_value", 0)
    return _sum(_patches(x, fill, size, stride, dilation, places), kernel)


def _sum(patches, kernel):
    """Accumulators; floats are added one after the other."""
    if patches.dtype != np.float32:
        return np.tensordot(patches, kernel, ([3, 4, 5], [1, 2, 3]))
    acc = np.zeros((*patches.shape[:3], len(kernel)), np.float32)
    for at in np.ndindex(kernel.shape[1:]):
        value = patches[(..., *at)][..., None]
        acc += value * kernel[(slice(None), *at)].astype(np.float32)
    return acc


def _windows(options, x):
    """Pooling windows and which of their positions lie inside."""
    size = options["pool_height"], options["pool_width"]
    stride = options["pool_stride_height"], options["pool_stride_width"]
    places = [
        _placement(n, k, s, options["pool_padding"])
        for n, k, s in zip(x.shape[1:3], size, stride)
    ]
    x = x.astype(np.float64)
    inside = np.ones_like(x, bool)
    return (
        _patches(x, -np.inf, size, stride, (1, 1), places),
        _patches(inside, False, size, stride, (1, 1), places),
    )


def _quantizers(options):
    """What the options of each quantizer of float output begin with."""
    names = ["quantizer", *(f"quantizer{n}" for n in range(2, 100))]
    return itertools.takewhile(lambda name: f"{name}_bits" in options, names)


def _quantized(options, prefix, values, constants):
    """Codes of float output: an AqeQuantize behind it; the next constants."""
    own = {
        key.removeprefix(f"{prefix}_"): value
        for key, value in options.items()
        if key.startswith(f"{prefix}_")
    }
    own["output_bits"] = own.pop("bits")
    count = 2 + own.get("offset", 0)
    return _finish(own, values, constants[:count]), constants[count:]


def _finish(options, acc, constants):
    """The output stage."""
    bits = options["output_bits"]
    rounding = options.get("rounding", 0)
    if bits != 32 and not rounding:
        thresholds, direction = constants[:2]
        if acc.dtype != np.float32:
            acc = acc.astype(np.int64)
        if bits == 8:
            assert len(thresholds) == 2 ** options.get("code_bits", 8) - 1
        first = options.get("first_code", -128)
        return apply_thresholds(acc, thresholds, direction, bits, first)
    if not constants:
        return acc.astype(np.int32)
    scale, bias = constants[:2]
    values = acc.astype(np.float32)
    if options.get("offset", 0):
        values = values + constants[2]
    values = values * scale + bias
    if rounding:
        values = np.nan_to_num(np.clip(np.rint(values), -128, 127)).astype(int)
    return values
