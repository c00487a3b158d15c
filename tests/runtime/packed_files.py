"""Packed files by hand: docs/format.md in NumPy, independent of the runtime."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

LEVELS = {
    1: np.array([-1, 1]),
    2: np.array([-1, 0, 1]),
    3: np.array([-4, -2, -1, 0, 1, 2, 4]),
    4: np.array([-64, -32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32, 64]),
    8: np.arange(-128, 128),
}

_TYPES = {
    np.dtype("float32"): schema.TensorType.FLOAT32,
    np.dtype("int32"): schema.TensorType.INT32,
    np.dtype("uint8"): schema.TensorType.UINT8,
    np.dtype("int64"): schema.TensorType.INT64,
    np.dtype("int8"): schema.TensorType.INT8,
}


def planes(codes, bits):
    """Bit planes of codes, stacked in front: `m0, m1, ..., s`."""
    codes = np.asarray(codes)
    sign = codes < 0
    if bits == 1:
        return sign[None]
    magnitude = np.where(
        codes == 0, 0, np.log2(np.maximum(np.abs(codes), 1)).astype(int) + 1
    )
    return np.stack(
        [magnitude >> p & 1 for p in range(bits - 1)] + [sign]
    ).astype(bool)


def pack_weights(codes, bits):
    """`[bits, ceil(n / 8)]` uint8 from codes with the output channel first."""
    return np.packbits(
        planes(codes, bits).reshape(bits, -1), axis=1, bitorder="little"
    )


def pack_activations(codes, bits):
    """Activation tensor of codes `[..., channels]`."""
    codes = np.asarray(codes)
    if bits == 8:
        return codes.astype(np.int8)
    padding = [(0, 0)] * codes.ndim + [(0, -codes.shape[-1] % 64)]
    padded = np.pad(planes(codes, bits), padding)
    words = np.packbits(padded, axis=-1, bitorder="little").view("<i8")
    # [plane, ..., word] to [..., word, plane], planes side by side.
    words = np.moveaxis(words, 0, -1)
    return np.ascontiguousarray(words).reshape(*codes.shape[:-1], -1)


def unpack_activations(tensor, bits, channels):
    """Codes of an activation tensor."""
    if bits == 8:
        return tensor.astype(int)
    words = np.ascontiguousarray(
        np.moveaxis(tensor.reshape(*tensor.shape[:-1], -1, bits), -1, 0)
    )
    unpacked = np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little")
    assert not unpacked[..., channels:].any(), "channels that do not exist"
    unpacked = unpacked[..., :channels].astype(int)
    sign = 1 - 2 * unpacked[-1]
    if bits == 1:
        return sign
    magnitude = sum(unpacked[p] << p for p in range(bits - 1))
    return sign * np.where(magnitude == 0, 0, 1 << np.maximum(magnitude - 1, 0))


def activation_shape(shape, bits):
    if bits == 8:
        return tuple(shape)
    return (*shape[:-1], -(-shape[-1] // 64) * bits)


def apply_thresholds(acc, thresholds, direction, bits, first=-128):
    """Codes that the output stage makes of accumulators.

    Those of 8 bits begin with `first`.
    """
    passed = (direction * acc)[..., None, :] >= thresholds
    index = passed.sum(axis=-2)
    return index + first if bits == 8 else LEVELS[bits][index]


class PackedFile:
    """Collects tensors and operators, then writes the flatbuffer."""

    def __init__(self):
        self.tensors, self.operators, self._codes = [], [], []
        self.buffers = [schema.BufferT()]

    def tensor(self, shape, dtype):
        return self._add(shape, dtype, 0)

    def constant(self, values):
        values = np.ascontiguousarray(values)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.buffers.append(buffer)
        return self._add(values.shape, values.dtype, len(self.buffers) - 1)

    def _add(self, shape, dtype, buffer):
        tensor = schema.TensorT()
        tensor.shape = np.array(shape, np.int32)
        tensor.type = _TYPES[np.dtype(dtype)]
        tensor.buffer = buffer
        tensor.name = f"tensor{len(self.tensors)}"
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def operator(self, name, inputs, outputs, options):
        code = schema.OperatorCodeT()
        code.builtinCode = schema.BuiltinOperator.CUSTOM
        code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = name
        code.version = 1
        self._codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self._codes) - 1
        operator.inputs = np.array(inputs, np.int32)
        operator.outputs = np.array(outputs, np.int32)
        operator.customOptions = np.frombuffer(
            flexbuffers.Dumps(options), np.uint8
        )
        self.operators.append(operator)

    def write(self, inputs, outputs):
        graph = schema.SubGraphT()
        graph.tensors = self.tensors
        graph.operators = self.operators
        graph.inputs = np.array(inputs, np.int32)
        graph.outputs = np.array(outputs, np.int32)
        model = schema.ModelT()
        model.version = 3
        model.operatorCodes = self._codes
        model.subgraphs = [graph]
        model.buffers = self.buffers
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def one_operator(name, x, constants, output_shape, output_dtype, options):
    """File of one operator, its input's shape and type taken from `x`."""
    file = PackedFile()
    source = file.tensor(x.shape, x.dtype)
    inputs = [source, *(file.constant(values) for values in constants)]
    target = file.tensor(output_shape, output_dtype)
    file.operator(name, inputs, [target], {"format": 1, **options})
    return file.write([source], [target])


def window_options(kernel, stride, dilation, padding):
    """Options of an operator whose kernel moves over rows and columns."""
    return {
        "kernel_height": kernel[0],
        "kernel_width": kernel[1],
        "stride_height": stride[0],
        "stride_width": stride[1],
        "dilation_height": dilation[0],
        "dilation_width": dilation[1],
        "padding": ["VALID", "SAME"].index(padding),
    }


def pool_options(size, stride, padding):
    """Options of a pool, or of the pool behind a convolution."""
    return {
        "pool_height": size[0],
        "pool_width": size[1],
        "pool_stride_height": stride[0],
        "pool_stride_width": stride[1],
        "pool_padding": ["VALID", "SAME"].index(padding),
    }
