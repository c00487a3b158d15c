"""Which operators of a file belong to which layer.

Tensors of a file are named after the numbers of nodes, so that the operators
of each layer are found in the finished file, whatever became of them on the
way.
"""

import re

import keras
import numpy as np

from keras_aqe.converters.graph import nodes
from keras_aqe.converters.targets import node_names
from keras_aqe_runtime.file import flatbuffer


def owned_operators(model, graph, weighted, products):
    """The indices of the operators of each node with weights."""
    operators = model.subgraphs[0].operators
    named = [nodes_of(model, graph, operator) for operator in operators]
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
    _share(owned, weighted)
    return owned


def _share(owned, weighted):
    """Gives layers that lost their operators those of the layer they equal.

    TensorFlow's converter makes one operator of equal ones on equal values.
    """
    bare, carried = [], {}
    for node, operators in owned.items():
        if isinstance(node, nodes.Sum):
            operators = [index for index in operators if index in weighted]
        elif not has_weights(node):
            continue
        if operators:
            carried[node] = operators
        else:
            bare.append(node)
    if not bare:
        return  # Comparing all constants takes long.
    equal = {}
    for node, operators in carried.items():
        equal.setdefault(_constants(node), operators)
    for node in bare:
        shared = equal.get(_constants(node), [])
        owned[node] = sorted({*owned[node], *shared})


def _constants(node):
    """What two layers that do the same have in common."""
    if isinstance(node, nodes.Sum):
        kernel = np.asarray(node.kernel, "float32")
        return kernel.shape, kernel.tobytes(), repr(node.window), node.groups
    layer = node.operation
    weights = [np.asarray(w) for w in layer.get_weights()]
    return type(layer), *((w.shape, w.tobytes()) for w in weights)


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
            for node in nodes_of(model, graph, operators[index]):
                return node.name
    return None


def has_weights(node):
    """Whether a node is a layer with weights that Keras itself computes."""
    return (
        isinstance(node, nodes.Apply)
        and isinstance(node.operation, keras.layers.Layer)
        and bool(node.operation.weights)
    )


def _layer(node):
    """The layer with weights that an operator of a node belongs to, if any."""
    if isinstance(node, nodes.Threshold):
        return node.source
    return node if isinstance(node, nodes.Sum) or has_weights(node) else None


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


def nodes_of(model, graph, operator):
    """The nodes whose values an operator of the first graph computes."""
    tensors = model.subgraphs[0].tensors
    numbers = [
        number
        for output in operator.outputs
        for number in node_names.numbers(tensors[output])
    ]
    if numbers:
        return [graph.nodes[number] for number in numbers]
    # What writes an output of the file is named after that.
    outputs = list(model.subgraphs[0].outputs)
    return [
        graph.outputs[outputs.index(tensor)]
        for tensor in operator.outputs
        if tensor in outputs
    ]
