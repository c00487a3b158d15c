"""Checks operators against their signatures.

Interpreters take on trust that operators have the inputs, types and options
that a converter gives them, and crash where they have not.
"""

import numpy as np

from keras_aqe_runtime.errors import DamagedError
from keras_aqe_runtime.file import flatbuffer, operator_signatures

# Options that are sizes, steps or factors, and lead to a division by 0.
_SIZES = {
    *("blockSize", "filterHeight", "filterWidth", "strideD", "strideH"),
    *("strideW", "dilationDFactor", "dilationHFactor", "dilationWFactor"),
}
_LARGEST_SIZE = 2**15
# Options that say how many inputs or outputs an operator has.
_COUNTS = {"num": "outputs", "numSplits": "outputs", "valuesCount": "inputs"}
# Options that have no default.
_NEEDED = {
    *_SIZES,
    *_COUNTS,
    *("bodySubgraphIndex", "condSubgraphIndex"),
    *("boundaries", "elseSubgraphIndex", "thenSubgraphIndex"),
}
# Options that are numbers of a few choices, from 0 on.
_CHOICES = {
    "combiner": 3,
    "fusedActivationFunction": 6,
    "mode": 2,
    "padding": 2,
    "weightsFormat": 2,
}
# Options that count axes.
_AXES = {"axis", "batchDim", "batchDims", "seqDim"}
# Inputs that may have a scale for each channel.
_PER_CHANNEL = {
    "CONV_2D": (1, 2),
    "CONV_3D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "DEQUANTIZE": (0,),
    "FULLY_CONNECTED": (1, 2),
    "TRANSPOSE_CONV": (1, 3),
}
# Operators that do not look at scales.
_SCALELESS = {
    *("BITCAST", "BITWISE_XOR", "BROADCAST_TO", "CAST", "EXPAND_DIMS"),
    *("FILL", "GATHER", "GATHER_ND", "IF", "MIRROR_PAD", "ONE_HOT", "PACK"),
    *("RANK", "RESHAPE", "REVERSE_V2", "RIGHT_SHIFT", "SCATTER_ND"),
    *("SELECT", "SELECT_V2", "SHAPE", "SLICE", "SPLIT", "SPLIT_V"),
    *("SQUEEZE", "STRIDED_SLICE", "TILE", "TOPK_V2", "TRANSPOSE", "UNPACK"),
    *("WHERE", "WHILE", "ZEROS_LIKE"),
}
# Factor between the scales of an operator that multipliers can express.
_LEAST_SCALE = np.finfo("float32").tiny
_MOST_APART = 2.0**30
_SCALED_TYPES = ("INT8", "INT16", "UINT8")


def check(model, custom=()):
    """Checks all tensors and operators of a file.

    Args:
        model: A parsed file.
        custom: What the names of custom operators begin with that are checked
            elsewhere. Others are unknown.

    Raises:
        ConversionError: If an operator is not as it should be, or unknown.
    """
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            _check_tensor(model, tensor)
        names = flatbuffer.operator_names(model, graph)
        for name, operator in zip(names, graph.operators):
            try:
                if not name.startswith(tuple(custom)):
                    _check_operator(graph, name, operator)
            except ValueError as error:
                raise DamagedError(f"operator {name} {error}") from error


def _check_tensor(model, tensor):
    name = (tensor.name or b"").decode()
    shape = _shape(tensor)
    if _type_name(tensor) is None:
        raise DamagedError(
            f"tensor {name!r} has a type that no layer computes with"
        )
    if len(shape) > 8 or any(size < 0 for size in shape):
        raise DamagedError(f"tensor {name!r} has an impossible shape, {shape}")
    if len(shape) > 1 and 0 in shape:
        raise DamagedError(
            f"tensor {name!r} has no elements: its shape is {shape}"
        )
    signature = tensor.shapeSignature
    if signature is not None and (
        len(signature) not in (0, len(shape))
        or any(size < -1 or size == 0 for size in signature)
    ):
        raise DamagedError(f"tensor {name!r} has an impossible shape signature")
    if tensor.sparsity is not None or tensor.variantTensors:
        raise DamagedError(f"tensor {name!r} is sparse or of variants")
    buffer = model.buffers[tensor.buffer]
    if buffer.offset or buffer.size:
        raise DamagedError(
            f"the content of tensor {name!r} lies outside the file"
        )
    if tensor.isVariable:
        raise DamagedError(f"tensor {name!r} is a variable")


def _check_operator(graph, name, operator):
    signature = operator_signatures.find(name)
    if signature is None:
        raise ValueError("is none that files of Keras models have")
    _check_options(signature, operator)
    tensors = check_arguments(signature, graph, operator)
    if name == "DEQUANTIZE":
        # Of a constant LiteRT writes as many numbers as it has.
        _check_alike(tensors["input 0"], tensors["output 0"])
    if name not in _SCALELESS:
        _check_scales(name, tensors)


def check_arguments(signature, graph, operator):
    """Checks the inputs and outputs of an operator.

    Args:
        signature: An `operator_signatures.Signature`.
        graph: The graph of the operator.
        operator: The operator.

    Returns:
        A dictionary of its tensors by their places, as `"input 0"`.

    Raises:
        ValueError: If one is missing, too many, or of another type or rank.
    """
    tensors = {}
    for place, argument, index in (
        *_arguments("input", signature.inputs, operator.inputs),
        *_arguments("output", signature.outputs, operator.outputs),
    ):
        tensor = tensors[place] = graph.tensors[index]
        axes = len(_shape(tensor))
        if not argument.least <= axes <= argument.most:
            raise ValueError(f"cannot take a tensor of {axes} axes as {place}")
        types = argument.types
        if argument.like is not None:
            types = [_type_name(graph.tensors[operator.inputs[argument.like]])]
        if types is not None and _type_name(tensor) not in types:
            raise ValueError(
                f"cannot take {_type_name(tensor)} as {place}, but "
                f"{' or '.join(types)}"
            )
    return tensors


def _arguments(kind, arguments, indices):
    """Pairs what an operator has with what it should have."""
    pairs = []
    indices = list(indices)
    count = max(len(indices), len(arguments))
    if len(indices) > len(arguments) and not (
        arguments and arguments[-1].is_repeated
    ):
        raise ValueError(f"has {len(indices)} {kind}s, not {len(arguments)}")
    for place in range(count):
        argument = arguments[min(place, len(arguments) - 1)]
        index = indices[place] if place < len(indices) else -1
        if index >= 0:
            pairs.append((f"{kind} {place}", argument, index))
        elif not argument.is_optional:
            raise ValueError(f"has no {kind} {place}")
    return pairs


def _check_options(signature, operator):
    if signature.options is None:
        return
    options = operator.builtinOptions
    if options is None and _NEEDED.isdisjoint(vars(signature.options())):
        return  # all of them have a default
    if not isinstance(options, signature.options):
        name = signature.options.__name__.removesuffix("T")
        raise ValueError(f"has no {name}")
    for name, value in vars(options).items():
        if name in _NEEDED and value is None:
            raise ValueError(f"has no option {name}")
        if name in _SIZES and not 1 <= value <= _LARGEST_SIZE:
            raise ValueError(
                f"has option {name} = {value}, which is not between 1 and "
                f"{_LARGEST_SIZE}"
            )
        if name in _COUNTS and value != len(getattr(operator, _COUNTS[name])):
            raise ValueError(
                f"has option {name} = {value}, but "
                f"{len(getattr(operator, _COUNTS[name]))} {_COUNTS[name]}"
            )
        if name in _CHOICES and not 0 <= value < _CHOICES[name]:
            raise ValueError(f"has option {name} = {value}")
        if name in _AXES and not -8 <= value <= 8:
            raise ValueError(f"has option {name} = {value}")


def _check_alike(source, result):
    shapes = _shape(source), _shape(result)
    if np.prod(shapes[0]) != np.prod(shapes[1]):
        raise ValueError("has shapes {} and {}".format(*shapes))


def _check_scales(name, tensors):
    """One scale for each tensor of small integers, but those of kernels."""
    if name == "CONCATENATION" and not any(map(_scale_count, tensors.values())):
        return  # of numbers, that are no codes
    single = []
    free = [f"input {place}" for place in _PER_CHANNEL.get(name, ())]
    for place, tensor in tensors.items():
        if _type_name(tensor) not in _SCALED_TYPES:
            continue
        quantization = tensor.quantization
        scales = getattr(quantization, "scale", None)
        zero_points = getattr(quantization, "zeroPoint", None)
        counts = {np.size(scales), np.size(zero_points)}
        if scales is None or zero_points is None or 0 in counts:
            raise ValueError(f"has no scale of {place}")
        if counts != {1} and place not in free:
            raise ValueError(f"has several scales of {place}")
        # Others than normal numbers are for `bounds` to name.
        if place not in free and scales[0] >= _LEAST_SCALE:
            single.append(float(scales[0]))
    if single and not max(single) <= _MOST_APART * min(single):
        raise ValueError("has scales too far apart")


def _scale_count(tensor):
    scales = getattr(tensor.quantization, "scale", None)
    return 0 if scales is None else np.size(scales)


def _shape(tensor):
    return () if tensor.shape is None else tuple(map(int, tensor.shape))


def _type_name(tensor):
    """The name of a tensor's type, `None` for one that no layer returns."""
    return operator_signatures.TYPES.get(tensor.type)
