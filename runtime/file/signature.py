"""Shapes, types and names of a file's inputs and outputs."""

import dataclasses

import numpy as np

from keras_aqe_runtime.errors import DamagedError
from keras_aqe_runtime.file.flatbuffer import schema


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """What a tensor of a file holds.

    Args:
        shape: Its shape, -1 where any size will do.
        dtype: NumPy's type.
    """

    shape: tuple
    dtype: np.dtype

    def accepts(self, shape):
        """Whether an array of a shape fits, with any number of examples."""
        return len(shape) == len(self.shape) and all(
            axis == 0 or wanted in (-1, size)
            for axis, (wanted, size) in enumerate(zip(self.shape, shape))
        )

    def __str__(self):
        sizes = [None if size == -1 else size for size in self.shape]
        return f"{self.dtype} of shape {(None, *sizes[1:])}"


def spec(graph, index):
    """The `TensorSpec` of an input of a graph.

    Raises:
        ConversionError: If NumPy has no such type.
    """
    tensor = graph.tensors[index]
    dtype = _numpy_types().get(tensor.type)
    if dtype is None:
        raise DamagedError(
            f"input {tensor.name!r} has a type that is no array's"
        )
    sizes = tensor.shapeSignature
    if sizes is None or len(sizes) == 0:
        sizes = tensor.shape
    shape = () if sizes is None else tuple(int(size) for size in sizes)
    return TensorSpec(shape, np.dtype(dtype))


def _numpy_types():
    names = [
        *("bool", "complex64", "complex128", "float16", "float32", "float64"),
        *("int8", "int16", "int32", "int64"),
        *("uint8", "uint16", "uint32", "uint64"),
    ]
    return {getattr(schema.TensorType, name.upper()): name for name in names}


def names(model, kind):
    """Names of a file's inputs or outputs.

    Args:
        model: What `flatbuffer.read` returned.
        kind: `"input"` or `"output"`.

    Returns:
        Those of its first signature, and of the tensors where it has none.
    """
    graph = model.subgraphs[0]
    signatures = model.signatureDefs or []
    entries = getattr(signatures[0], f"{kind}s") if signatures else []
    named = {entry.tensorIndex: entry.name for entry in entries or []}
    return [
        (named.get(index) or graph.tensors[index].name or b"").decode()
        for index in getattr(graph, f"{kind}s")
    ]
