"""What a file says of itself: its layers and the operators that carry them.

Tensors of a file are named after the numbers of nodes, so that the operators
of each layer are found in the finished file, whatever became of them on the
way.
"""

import dataclasses
import importlib.metadata
import math
import re

import keras

from keras_aqe.converters.errors import ConversionError
from keras_aqe.converters.file import flatbuffer
from keras_aqe.converters.graph import nodes
from keras_aqe.converters.graph.macs import macs

# Layers with weights that only scale and shift, which mostly end up in the
# constants of other operators.
_NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.Normalization,
)
# What carries layers that multiply, loops over their cells too.
_PRODUCTS = (
    "BATCH_MATMUL",
    "CONV_2D",
    "CONV_3D",
    "CONV_3D_TRANSPOSE",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "TRANSPOSE_CONV",
    "WHILE",
)


def describe(model, stored, graph, target):
    """Describes a file that a target wrote.

    Args:
        model: The parsed file.
        stored: The `codes.Stored` of nodes, as far as the file holds them.
        graph: The `nodes.Graph` that it was written from.
        target: The `Target` that wrote it.

    Returns:
        A dictionary for `metadata.seal`. Its `"layers"` and
        `"normalizations"` name each layer that has weights and the indices of
        its `"operators"`, with other operators `"beside"` them.

    Raises:
        ConversionError: If the file has no operator for a quantized layer.
    """
    operators = flatbuffer.weighted_operators(model, target.kernels)
    weighted = set(operators)
    products = {
        node: macs(node)
        for node in graph.nodes
        if isinstance(node, nodes.Apply)
    }
    owned = _owned(model, graph, weighted, products)
    layers, normalizations = [], []
    for node in graph.nodes:
        if isinstance(node, nodes.Sum):
            carriers = [i for i in owned[node] if i in weighted]
            beside = [i for i in owned[node] if i not in weighted]
            rule = target.float_rule(node, graph)
            layers.append(_quantized(node, carriers, beside, rule))
        elif _is_normalization(node):
            normalizations.append(_entry(node.name, owned[node]))
        elif _has_weights(node):
            layers.append(_plain(model, node, owned[node], products[node]))
        elif isinstance(node, nodes.Threshold):
            normalizations += [
                _entry(layer.name, []) for layer in node.folded if layer.weights
            ]
    others = [n for node, n in products.items() if not _has_weights(node)]
    return {
        "version": importlib.metadata.version("keras-aqe"),
        "target": target.name,
        "layers": layers,
        "normalizations": normalizations,
        "other_macs": sum(others),
        "codes": [_code(node, stored.get(node)) for node in graph.codes],
        "inputs": _tensors(graph.input_names, model.subgraphs[0].inputs),
        "input_structure": graph.input_structure,
        "outputs": _tensors(graph.output_names, model.subgraphs[0].outputs),
        "output_structure": graph.output_structure,
    }


def _tensors(names, indices):
    """The Keras names of a file's inputs or outputs."""
    return [
        {"name": name, "tensor": int(index)}
        for name, index in zip(names, indices, strict=True)
    ]


def _entry(name, operators, beside=()):
    return {"name": name, "operators": operators, "beside": beside}


def _quantized(node, operators, beside, float_rule):
    if not operators:
        raise ConversionError(
            f"Layer {node.name!r} is in the model, but the file holds no "
            "operator for it. This is a fault of the converter; please "
            "report it with the model."
        )
    return {
        **_entry(node.name, operators, beside),
        "input_bits": node.source.bits,
        "weight_bits": node.weight_bits,
        "macs": math.prod(node.shape[1:-1]) * int(node.kernel.size),
        "may_be_float": float_rule,
    }


def _plain(model, node, operators, products):
    """An entry of a layer that Keras itself computes in floats."""
    names = flatbuffer.operator_names(model)
    # A layer of products is carried by them, and others by all they have.
    carriers = [i for i in operators if names[i] in _PRODUCTS] or operators
    beside = [i for i in operators if i not in carriers]
    bits = [source.bits for source in node.sources()]
    return {
        **_entry(node.name, carriers, beside),
        "input_bits": max(bits, default=32),
        "weight_bits": 32,
        "macs": products,
        "plain": True,
        "may_be_float": "plain layer",
    }


def _has_weights(node):
    return (
        isinstance(node, nodes.Apply)
        and isinstance(node.operation, keras.layers.Layer)
        and bool(node.operation.weights)
    )


def _is_normalization(node):
    return _has_weights(node) and isinstance(node.operation, _NORMALIZATIONS)


def _owned(model, graph, weighted, products):
    """The indices of the operators of each node with weights."""
    operators = model.subgraphs[0].operators
    named = [_nodes(model, graph, operator) for operator in operators]
    owners = {}
    for index, found in enumerate(named):
        for node in found:
            if index in weighted:
                node = _multiplying(node, products)
            else:
                node = _layer(node)
            if node is not None:
                owners.setdefault(index, node)
    # What is made of a constant belongs to who reads it.
    readers = {
        tensor: index
        for index, operator in reversed(list(enumerate(operators)))
        for tensor in operator.inputs
    }
    for index, operator in reversed(list(enumerate(operators))):
        reader = readers.get(operator.outputs[0])
        if not named[index] and reader in owners:
            owners.setdefault(index, owners[reader])
    owned = {node: [] for node in graph.nodes}
    for index, node in sorted(owners.items()):
        owned[node].append(index)
    return owned


def layer_in(message, model, graph):
    """The name of the layer whose operator an engine's message is about.

    Args:
        message: The message.
        model: The parsed file.
        graph: The `nodes.Graph` that it was written from.

    Returns:
        The name, `None` if the message tells of no operator of the file.
    """
    operators = model.subgraphs[0].operators
    # Our delegate's words first, since interpreters number delegated operators
    # anew; our own checks of files go by the operator's name.
    found = [
        *re.findall(r"\(operator (\d+)\)", message),
        *re.findall(r"Node number (\d+) \(", message),
    ]
    names = flatbuffer.operator_names(model)
    for name in re.findall(r"operator (\w+) has", message):
        found += [i for i, other in enumerate(names) if other == name]
    for index in map(int, found):
        if index < len(operators):
            for node in _nodes(model, graph, operators[index]):
                return node.name
    return None


def _layer(node):
    """The layer with weights that an operator of a node belongs to, if any."""
    if isinstance(node, nodes.Threshold):
        return node.source
    return node if isinstance(node, nodes.Sum) or _has_weights(node) else None


def _multiplying(node, products):
    """The layer that a product belongs to which is named after a node.

    It is named after what was fused with it where something was.
    """
    while node is not None:
        layer = _layer(node)
        if isinstance(layer, nodes.Sum) or products.get(node):
            return layer
        sources = node.sources()
        node = sources[0] if len(sources) == 1 else None
    return None


def _nodes(model, graph, operator):
    """The nodes whose values an operator computes."""
    numbers = _numbers(model, operator)
    if numbers:
        return [graph.nodes[number] for number in numbers]
    # What writes an output of the file is named after that.
    outputs = list(model.subgraphs[0].outputs)
    return [
        graph.outputs[outputs.index(tensor)]
        for tensor in operator.outputs
        if tensor in outputs
    ]


def _numbers(model, operator):
    """The numbers of the nodes that an operator's output is named after."""
    names = [
        model.subgraphs[0].tensors[output].name for output in operator.outputs
    ]
    return [
        int(number)
        for name in names
        for number in re.findall(r"(?:^|;)n(\d+)/", (name or b"").decode())
    ]


def _code(node, stored):
    """Where the codes of a quantizer stand in the file."""
    name = nodes.quantization(node).name
    entry = {"name": name, "bits": node.bits, "unit": node.unit}
    if stored is not None:
        fields = dataclasses.asdict(stored)
        entry["stored"] = {k: v for k, v in fields.items() if v is not None}
    return entry
