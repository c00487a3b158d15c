"""Reads and writes .tflite files."""

import functools
import hashlib
import struct

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_aqe_runtime.errors import ConversionError, DamagedError

# Fields that came to the schema after the first files were written. They count
# for a digest where they are set, so that older files keep theirs.
_LATER_FIELDS = {"blockShape", "quantSpec"}
_KERNELS = {
    "BATCH_MATMUL",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
}
# Builtin operators that are mostly products.
PRODUCTS = {*_KERNELS, "CONV_3D", "CONV_3D_TRANSPOSE", "TRANSPOSE_CONV"}


def read(flatbuffer):
    """Parses a file into the object API of TFLite's schema.

    Raises:
        ConversionError: If the bytes are not a TFLite file.
    """
    if len(flatbuffer) < 8 or bytes(flatbuffer[4:8]) != b"TFL3":
        raise ConversionError(
            "These bytes are no .tflite file: the identifier 'TFL3' is "
            f"missing from bytes 4 to 7. Received {len(flatbuffer)} bytes."
        )
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(flatbuffer, 0))
        _check_indices(model)
        _check_names(model)
        return model
    except (
        *(AttributeError, IndexError, MemoryError, OverflowError),
        *(RecursionError, TypeError, ValueError, struct.error),
    ) as error:
        raise DamagedError(error) from error


def _check_indices(model):
    """Raises one of the errors of `read` if an index leads nowhere."""
    for entry in model.metadata or []:
        model.buffers[entry.buffer]
    if not model.subgraphs:
        raise ValueError("it has no graph")
    for graph in model.subgraphs:
        count = len(graph.tensors)
        for tensor in graph.tensors:
            model.buffers[tensor.buffer]
        for operator in graph.operators:
            model.operatorCodes[operator.opcodeIndex]
        # -1 is an input that is left out.
        for least, indices in (
            (0, graph.inputs),
            (0, graph.outputs),
            *((-1, operator.inputs) for operator in graph.operators),
            *((0, operator.outputs) for operator in graph.operators),
        ):
            if any(not least <= index < count for index in indices):
                raise IndexError(f"an operator's tensor is not among {count}")


def _check_names(model):
    """Raises one of the errors of `read` if a name is no UTF-8."""
    signatures = model.signatureDefs or []
    named = [
        *model.subgraphs,
        *(tensor for graph in model.subgraphs for tensor in graph.tensors),
        *(entry for s in signatures for entry in s.inputs or []),
        *(entry for s in signatures for entry in s.outputs or []),
    ]
    for name in (
        model.description,
        *(item.name for item in named),
        *(code.customCode for code in model.operatorCodes),
        *(signature.signatureKey for signature in signatures),
    ):
        if name is not None:
            name.decode()


def operator_names(model, graph=None):
    """The names of a graph's operators, one for each, in their order.

    Args:
        model: A parsed file.
        graph: One of its graphs, by default the first.
    """
    names = []
    for operator in (graph or model.subgraphs[0]).operators:
        code = model.operatorCodes[operator.opcodeIndex]
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        # A newer TensorFlow may know more of them.
        name = _builtin_names().get(number, f"BUILTIN_{number}")
        custom = code.customCode if name == "CUSTOM" else None
        names.append(custom.decode() if custom else name)
    return names


@functools.cache
def _builtin_names():
    return {
        code: name
        for name, code in vars(schema.BuiltinOperator).items()
        if isinstance(code, int)
    }


def weighted_operators(model, custom=()):
    """Indices of the operators that multiply with a constant kernel.

    Args:
        model: A parsed file.
        custom: Names of the custom operators among them.
    """
    kernels = _KERNELS.union(custom)
    return [
        index
        for index, name in enumerate(operator_names(model))
        if name in kernels and kernel(model, index) is not None
    ]


def weight_bytes(model, indices):
    """Bytes that the kernels of weighted operators take in the file."""
    buffers = {kernel(model, index).buffer for index in indices}
    return sum(np.asarray(model.buffers[b].data).nbytes for b in buffers)


def is_float(model, index):
    """Whether an operator works on floats."""
    tensor = model.subgraphs[0].operators[index].inputs[0]
    floats = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16)
    return model.subgraphs[0].tensors[tensor].type in floats


def kernel(model, index):
    """The constant tensor that holds an operator's kernel, or `None`."""
    graph = model.subgraphs[0]
    inputs = graph.operators[index].inputs
    if len(inputs) < 2 or inputs[1] < 0:
        return None
    tensor = inputs[1]
    if model.buffers[graph.tensors[tensor].buffer].data is None:
        # A kernel may be stored as integers in front of a float operator.
        makers = [
            other.inputs[0]
            for other, name in zip(graph.operators, operator_names(model))
            if name == "DEQUANTIZE"
            and tensor in other.outputs
            and len(other.inputs)
        ]
        if not makers:
            return None
        tensor = makers[0]
    found = graph.tensors[tensor]
    return None if model.buffers[found.buffer].data is None else found


def metadata(model, name):
    """The bytes of a metadata entry, or `None`."""
    for entry in model.metadata or []:
        if entry.name == name.encode():
            data = model.buffers[entry.buffer].data
            return b"" if data is None else bytes(bytearray(data))
    return None


def set_metadata(model, name, data):
    """Adds a metadata entry to a parsed file, or replaces its content."""
    data = np.frombuffer(data, "uint8")
    for entry in model.metadata or []:
        if entry.name == name.encode():
            model.buffers[entry.buffer].data = data
            return
    buffer = schema.BufferT()
    buffer.data = data
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = name.encode(), len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]


def digest(model, text):
    """A hash of all that an interpreter computes with, and of a text.

    Metadata are left out, so that other tools may add theirs.
    """
    hashed = hashlib.sha256(text.encode())
    _hash(model.operatorCodes, hashed)
    _hash(model.subgraphs, hashed)
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            _hash(model.buffers[tensor.buffer].data, hashed)
    return hashed.hexdigest()


def _hash(value, hashed):
    if isinstance(value, np.ndarray):
        hashed.update(f"{value.size}:".encode())
        hashed.update(np.ascontiguousarray(value).data)
    elif isinstance(value, (list, tuple)):
        hashed.update(f"{len(value)}:".encode())
        for item in value:
            _hash(item, hashed)
    elif hasattr(value, "Pack"):
        for name, field in sorted(vars(value).items()):
            if name in _LATER_FIELDS and field is None:
                continue
            hashed.update(f"{name}:".encode())
            _hash(field, hashed)
    else:
        text = value.decode() if isinstance(value, bytes) else repr(value)
        hashed.update(f"{text};".encode())


class _Builder(flatbuffers.Builder):
    """Aligns arrays to 16 bytes, as interpreters expect of constants."""

    def StartVector(self, elemSize, numElems, alignment):
        if elemSize == 1:
            alignment = 16
        return super().StartVector(elemSize, numElems, alignment)


def write(model):
    """The bytes of a parsed file."""
    builder = _Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
