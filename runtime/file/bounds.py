"""Checks what stock interpreters take on trust, and crash on."""

import math

import numpy as np

from keras_aqe_runtime.errors import DamagedError
from keras_aqe_runtime.file import flatbuffer
from keras_aqe_runtime.file.flatbuffer import schema

_LEAST_SCALE = np.finfo("float32").tiny
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
# XNNPACK's limit for what a sum is multiplied with.
_GREATEST_MULTIPLIER = 256
# Interpreters count elements in 32 bits.
_MOST_ELEMENTS = 2**31 - 1


def check(model):
    """Checks sizes, scales, zero points, and that values precede their uses.

    Args:
        model: A parsed file.

    Raises:
        ConversionError: If one is out of bounds.
    """
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            _check_size(tensor)
            _check_quantization(tensor)
        _check_order(model, graph)
        names = flatbuffer.operator_names(model, graph)
        for name, operator in zip(names, graph.operators):
            if name == "STRIDED_SLICE":
                _check_places(model, graph, operator)
    graph = model.subgraphs[0]
    for name, operator in zip(
        flatbuffer.operator_names(model), graph.operators
    ):
        if name in _WEIGHTED:
            _check_multiplier(name, graph.tensors, operator)


def _check_size(tensor):
    shape = () if tensor.shape is None else tensor.shape
    if math.prod(max(int(size), 1) for size in shape) > _MOST_ELEMENTS:
        _refuse(tensor, "more elements than interpreters count")


def _check_order(model, graph):
    known = {-1, *graph.inputs}
    for index, tensor in enumerate(graph.tensors):
        if tensor.isVariable or model.buffers[tensor.buffer].data is not None:
            known.add(index)
    for operator in graph.operators:
        for index in operator.inputs:
            if index not in known:
                _refuse(graph.tensors[index], "a use before it is computed")
        for index in operator.outputs:
            if index in known:
                _refuse(graph.tensors[index], "a value already")
            known.add(index)
    for index in graph.outputs:
        if index not in known:
            _refuse(graph.tensors[index], "no value, though it is an output")


def _check_quantization(tensor):
    scale = _numbers(tensor.quantization, "scale")
    zero_point = _numbers(tensor.quantization, "zeroPoint")
    if not (np.isfinite(scale) & (scale >= _LEAST_SCALE)).all():
        _refuse(tensor, "a scale that is no normal number above 0")
    limits = _limits(tensor.type)
    if (
        limits is not None
        and not ((zero_point >= limits.min) & (zero_point <= limits.max)).all()
    ):
        _refuse(tensor, "a zero point that its type cannot hold")
    if max(scale.size, zero_point.size) > 1:
        axis = tensor.quantization.quantizedDimension
        channels = tensor.shape[axis] if axis < len(tensor.shape) else 0
        if scale.size != channels or zero_point.size not in (1, channels):
            _refuse(tensor, "more or fewer scales than channels")


def _check_multiplier(name, tensors, operator):
    parts = [*operator.inputs[:2], *operator.outputs[:1]]
    if len(parts) < 3 or min(parts) < 0:
        return  # interpreters refuse it themselves
    image, kernel, output = (
        _numbers(tensors[index].quantization, "scale") for index in parts
    )
    if min(image.size, kernel.size, output.size) == 0:
        return
    with np.errstate(over="ignore"):
        multiplier = image[0] * kernel.astype("float64") / output[0]
    if not (multiplier < _GREATEST_MULTIPLIER).all():
        _refuse(
            tensors[operator.inputs[1]],
            f"scales too large for {name}'s result",
        )


def _check_places(model, graph, operator):
    """Where a slice takes one element of an axis, the axis has to have it."""
    options = operator.builtinOptions
    if options is None or len(operator.inputs) < 4:
        return
    source, begin, _, strides = (graph.tensors[i] for i in operator.inputs)
    sizes = source.shapeSignature
    if sizes is None or len(sizes) == 0:
        sizes = () if source.shape is None else source.shape
    for axis, size in enumerate(sizes):
        if not options.shrinkAxisMask >> axis & 1:
            continue
        place, step = _whole(model, begin, axis), _whole(model, strides, axis)
        if options.beginMask >> axis & 1 or place is None or size < 0:
            place = 0
        if not -size <= place < max(size, 1):
            _refuse(begin, f"place {place} of an axis of {size}")
        if step not in (None, 1):
            _refuse(strides, f"step {step} where one element is taken")


def _whole(model, tensor, index):
    """A number of an int32 constant, `None` if it is not known."""
    data = model.buffers[tensor.buffer].data
    if data is None or len(data) < 4 * index + 4:
        return None
    return int(np.frombuffer(bytes(data), "int32", 1, 4 * index)[0])


def _numbers(quantization, name):
    values = getattr(quantization, name, None)
    return np.zeros(0) if values is None else np.asarray(values)


def _limits(number):
    """Limits of an integer type of tensors; `None` for others."""
    types = schema.TensorType
    names = {
        types.INT8: "int8",
        types.UINT8: "uint8",
        types.INT16: "int16",
        types.INT32: "int32",
    }
    return np.iinfo(names[number]) if number in names else None


def _refuse(tensor, fault):
    name = (tensor.name or b"").decode(errors="replace")
    raise DamagedError(f"tensor {name!r} has {fault}")
