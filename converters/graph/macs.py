"""Multiply-accumulates of what Keras itself computes."""

import math

import keras
import tensorflow as tf

from keras_aqe.converters.graph import known
from keras_aqe.converters.graph.nodes import Node
from keras_aqe.layers import HardTanh
from keras_aqe.multiplying import MULTIPLYING, kernels, positions

# Operations of TensorFlow whose kernel, the second input, is used once at each
# position of the output.
_CONVOLUTIONS = ("Conv2D", "Conv3D", "DepthwiseConv2dNative")
_MATMULS = ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "MatMul")
# Layers that run their cell once for each step of a sequence.
_RECURRENT = (keras.layers.Bidirectional, keras.layers.RNN)
# The most frequent layers without products; the others are traced.
_WITHOUT_PRODUCTS = (
    *known.SELECTIONS,
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.Average,
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.BatchNormalization,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.Maximum,
    keras.layers.Minimum,
    keras.layers.Multiply,
    keras.layers.Normalization,
    keras.layers.ReLU,
    keras.layers.Rescaling,
    keras.layers.Softmax,
    keras.layers.Subtract,
    HardTanh,
)


def macs(node):
    """Multiply-accumulates of one example in convolutions and products.

    Sizes that the model leaves open count as 1.

    Args:
        node: A `nodes.Apply`.
    """
    operation = node.operation
    if known.is_known(operation, _WITHOUT_PRODUCTS):
        return 0
    source = node.sources()[0]
    if known.is_known(operation, MULTIPLYING):
        shapes = [[n or 1 for n in each.shape] for each in (source, node)]
        weights = sum(math.prod(k.shape) for k in kernels(operation))
        return positions(operation, *shapes) * weights
    steps = 1
    if isinstance(operation, _RECURRENT):
        steps = source.shape[1] or 1
    return _products(_traced(node), steps)


def _traced(node):
    """The graph that TensorFlow makes of a node for one example."""
    structure = (node.args, node.kwargs)
    specs = [
        tf.TensorSpec((1, *value.shape[1:]), getattr(value, "dtype", "float32"))
        for value in keras.tree.flatten(structure)
        if isinstance(value, Node)
    ]

    @tf.function(input_signature=specs, autograph=False)
    def run(*tensors):
        tensors = iter(tensors)
        args, kwargs = keras.tree.map_structure(
            lambda value: next(tensors) if isinstance(value, Node) else value,
            structure,
        )
        return node.operation(*args, **kwargs)

    return run.get_concrete_function().graph


def _products(graph, steps):
    """Those of a graph, with `steps` for the turns of its loops."""
    total = 0
    waiting = [tensor.op for tensor in graph.outputs]
    seen = set()
    # What nothing leads to is not run.
    while waiting:
        op = waiting.pop()
        if op in seen:
            continue
        seen.add(op)
        waiting += [tensor.op for tensor in op.inputs]
        total += _of_operation(op)
        for attribute in ("f", "body"):
            if attribute in op.node_def.attr:
                name = op.get_attr(attribute).name
                inner = _products(graph._get_function(name).graph, steps)
                total += inner * (steps if attribute == "body" else 1)
    return total


def _of_operation(op):
    shapes = [tensor.shape for tensor in op.inputs]
    if op.type in _CONVOLUTIONS:
        return _size(op.outputs[0].shape[:-1]) * _size(shapes[1])
    if op.type in _MATMULS:
        transposed = "adj_x" if op.type != "MatMul" else "transpose_a"
        terms = shapes[0][-2 if op.get_attr(transposed) else -1 :]
        return _size(op.outputs[0].shape) * _size(terms[:1])
    if op.type == "Einsum":
        letters = op.get_attr("equation").decode().split("->")[0].split(",")
        sizes = {}
        for names, shape in zip(letters, shapes):
            sizes.update(zip(names, shape))
        return _size(sizes.values()) * (len(letters) > 1)
    return 0


def _size(shape):
    return math.prod(size or 1 for size in shape)
