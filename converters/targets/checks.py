"""Checks of a file against what interpreters have operators for."""

from keras_aqe.converters.errors import ConversionError, other_types
from keras_aqe.converters.file import flatbuffer
from keras_aqe.converters.file.flatbuffer import schema
from keras_aqe.converters.graph.nodes import Input
from keras_aqe.converters.targets import node_names

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


def check(model, nodes, prefix):
    """Checks what operators a file has and what they compute in.

    Args:
        model: A parsed file, in which operators on codes are custom ones.
        nodes: The nodes of the graph, in the order of their numbers.
        prefix: What the names of the target's own operators begin with;
            empty if it has none.

    Raises:
        ConversionError: If no interpreter has an operator, or it would take
            plain numbers for codes.
    """
    for graph in model.subgraphs:
        names = flatbuffer.operator_names(model, graph)
        for name, operator in zip(names, graph.operators):
            if prefix and name.startswith(prefix):
                continue
            tensors = [
                graph.tensors[tensor]
                for tensor in (*operator.outputs, *operator.inputs)
                if tensor >= 0
            ]
            code = model.operatorCodes[operator.opcodeIndex]
            if code.customCode:
                raise ConversionError(
                    f"{_layer(tensors, nodes)} needs {name} of TensorFlow, "
                    "which is no operator of .tflite files. Use another "
                    "layer, or do this outside of the model."
                    + other_types((n.name, n.dtype) for n in _inputs(nodes))
                )
            if name not in _MOVES:
                _check_types(name, tensors, nodes)


def _check_types(name, tensors, nodes):
    for tensor in tensors:
        if tensor.type in _ONLY_MOVED:
            raise ConversionError(
                f"{_layer(tensors, nodes)} computes {name} in "
                f"{_ONLY_MOVED[tensor.type]}, in which interpreters hold codes "
                "or nothing, not numbers."
                + other_types((n.name, n.dtype) for n in _inputs(nodes))
            )


def _inputs(nodes):
    return [node for node in nodes if isinstance(node, Input)]


def _layer(tensors, nodes):
    """The layer that an operator comes from, as its tensors are named."""
    for tensor in tensors:
        for number in node_names.numbers(tensor):
            return f"Layer {nodes[number].name!r}"
    return "The model"
