"""Operators at the ends of their range, as TensorFlow computes them.

LiteRT's fast kernels make NaN of the sigmoid of huge numbers and of the
reciprocal square root of 0, and TensorFlow's converter writes a softplus as
`log(exp(x) + 1)`, which is infinite from 89 on. It also writes a bias that is
the same in all channels as one number, which Larq Compute Engine refuses.
"""

import numpy as np

from keras_aqe.converters.file.builtin_ops import Constant, Graph, Operator
from keras_aqe_runtime.file import flatbuffer
from keras_aqe_runtime.file.flatbuffer import schema

# The sigmoid is 0 or 1 from here on.
_LARGE = np.float32(1e9)
_OPTIONS = {
    "ABS": schema.AbsOptionsT,
    "ADD": schema.AddOptionsT,
    "DIV": schema.DivOptionsT,
    "EXP": schema.ExpOptionsT,
    "MAXIMUM": schema.MaximumMinimumOptionsT,
    "MINIMUM": schema.MaximumMinimumOptionsT,
    "NEG": schema.NegOptionsT,
}


def mend(model, inner=()):
    """Rewrites such operators of a parsed file, those in loops too.

    Args:
        model: The file.
        inner: Indices of tensors that stay, though nothing may read them.
    """
    for number, graph in enumerate(model.subgraphs):
        names = flatbuffer.operator_names(model, graph)
        softpluses = _softpluses(model, graph, names)
        edited = Graph(model, number)
        for name, operator in zip(names, edited.take_operators()):
            if name == "LOGISTIC":
                _clamp(edited, operator)
            elif name == "RSQRT":
                _divide_by_root(edited, operator)
            elif name == "LOG" and operator.inputs[0] in softpluses:
                _softplus(edited, softpluses[operator.inputs[0]], operator)
            else:
                if name == "TRANSPOSE_CONV":
                    _fill_bias(model, graph, edited, operator)
                edited.keep(operator)
        edited.drop_unread({"ADD", "EXP"}, inner if number == 0 else ())
        edited.drop_unused_codes()


def _clamp(graph, operator):
    """sigmoid(max(min(x, large), -large))"""
    x = operator.inputs[0]
    x = graph.compute(_operator("MINIMUM", _LARGE), [x])
    operator.inputs = [graph.compute(_operator("MAXIMUM", -_LARGE), [x])]
    graph.keep(operator)


def _divide_by_root(graph, operator):
    """1 / sqrt(x)"""
    root = graph.compute(_operator("SQRT"), operator.inputs)
    operator.inputs = [graph.constant(Constant(np.float32(1))), root]
    graph.insert(_operator("DIV"), operator)


def _softplus(graph, x, operator):
    """max(x, 0) + log(exp(-abs(x)) + 1)"""
    y = x
    for name in ("ABS", "NEG", "EXP"):
        y = graph.compute(_operator(name), [y])
    y = graph.compute(_operator("ADD", np.float32(1)), [y])
    y = graph.compute(_operator("LOG"), [y])
    operator.inputs = [graph.compute(_operator("RELU"), [x]), y]
    graph.insert(_operator("ADD"), operator)


def _fill_bias(model, graph, edited, operator):
    _, kernel, _, *bias = operator.inputs
    channels = graph.tensors[kernel].shape[0]
    for index in bias:
        values = model.buffers[graph.tensors[index].buffer].data
        if values is not None and len(values) == 4 < 4 * channels:
            filled = np.repeat(np.asarray(values, "uint8").view("f"), channels)
            filled = edited.constant(Constant(filled))
            operator.inputs = [*operator.inputs[:3], filled]


def _operator(name, *constants):
    options = _OPTIONS[name]() if name in _OPTIONS else None
    return Operator(name, options, 1, tuple(map(Constant, constants)))


def _softpluses(model, graph, names):
    """The x of each tensor that is `exp(x) + 1`."""
    exponentials, found = {}, {}
    for name, operator in zip(names, graph.operators):
        if name == "EXP":
            exponentials[operator.outputs[0]] = operator.inputs[0]
        elif name == "ADD":
            for x, other in (operator.inputs, operator.inputs[::-1]):
                values = model.buffers[graph.tensors[other].buffer].data
                if x in exponentials and values is not None:
                    ones = np.asarray(values, "uint8").view("float32")
                    if (ones == 1).all():
                        found[operator.outputs[0]] = exponentials[x]
    return found
