"""Checks of a file against what interpreters have operators for."""

from keras_aqe.converters.errors import (
    ConversionError,
    other_types,
    raise_all,
)
from keras_aqe.converters.targets.node_names import numbers
from keras_aqe.converters.targets.ownership import nodes_of
from keras_aqe_runtime.file import flatbuffer
from keras_aqe_runtime.file.flatbuffer import schema

# Interpreters take these for codes with a scale, or cannot compute in them.
_ONLY_MOVED = {
    getattr(schema.TensorType, name): name.lower()
    for name in (
        *("INT4", "INT8", "UINT8", "INT16", "UINT16", "UINT32", "UINT64"),
        *("FLOAT16", "BFLOAT16", "FLOAT64"),
    )
}
_MOVES = {
    "CAST",
    "CONCATENATION",
    "EXPAND_DIMS",
    "RESHAPE",
    "SLICE",
    "SQUEEZE",
    "STRIDED_SLICE",
    "TRANSPOSE",
}


def check(model, graph, prefix):
    """Checks what operators a file has and what they compute in.

    Args:
        model: A parsed file, in which operators on codes are custom ones.
        graph: The `nodes.Graph` that it was written from.
        prefix: What the names of the target's own operators begin with;
            empty if it has none.

    Raises:
        ConversionError: If no interpreter has an operator, or it would take
            plain numbers for codes.
    """
    raise_all(_faults(model, graph, prefix))


def _faults(model, graph, prefix):
    for number, part in enumerate(model.subgraphs):
        names = flatbuffer.operator_names(model, part)
        for operation, operator in zip(names, part.operators):
            if prefix and operation.startswith(prefix):
                continue
            tensors = [
                part.tensors[tensor]
                for tensor in (*operator.outputs, *operator.inputs)
                if tensor >= 0
            ]
            found = [
                # Loops are graphs of their own.
                *([] if number else nodes_of(model, graph, operator)),
                *(graph.nodes[n] for t in tensors for n in numbers(t)),
            ]
            name = found[0].name if found else None
            layer = "The model" if name is None else f"Layer {name!r}"
            code = model.operatorCodes[operator.opcodeIndex]
            if code.customCode:
                yield ConversionError(
                    f"{layer} needs {operation} of TensorFlow, which is no "
                    "operator of .tflite files. Use another layer, or do this "
                    "outside of the model." + _other_types(graph),
                    name,
                )
                continue
            held = [t.type for t in tensors if t.type in _ONLY_MOVED]
            if held and operation not in _MOVES:
                yield ConversionError(
                    f"{layer} computes {operation} in {_ONLY_MOVED[held[0]]}, "
                    "in which interpreters hold codes or nothing, not numbers."
                    + _other_types(graph),
                    name,
                )


def _other_types(graph):
    return other_types((node.name, node.dtype) for node in graph.inputs)
