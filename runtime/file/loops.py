"""Checks that the loops and branches of a file fit their graphs, and end."""

import numpy as np

from keras_aqe_runtime.errors import DamagedError
from keras_aqe_runtime.file import flatbuffer
from keras_aqe_runtime.file.flatbuffer import schema

# Longer than any sequence that a recurrent layer is given.
_MOST_STEPS = 2**16


def check(model):
    """Checks the graphs that operators call.

    A loop has to count: its condition asks whether a counter is less than a
    limit, and its body adds a constant to the counter. So recurrent layers
    come out, and a file cannot make an interpreter run forever.

    Args:
        model: A parsed file whose operators have their signatures.

    Raises:
        ConversionError: If graphs call each other in a circle, do not fit
            what calls them, or a loop does not count.
    """
    _check_circles(model)
    for graph in model.subgraphs:
        names = flatbuffer.operator_names(model, graph)
        for name, operator in zip(names, graph.operators):
            try:
                if name == "WHILE":
                    _check_loop(model, graph, operator)
                elif name == "IF":
                    _check_branches(model, graph, operator)
            except ValueError as error:
                raise DamagedError(f"operator {name} {error}") from error


def _called(model, name, operator):
    options = operator.builtinOptions
    if name == "WHILE":
        numbers = options.condSubgraphIndex, options.bodySubgraphIndex
    elif name == "IF":
        numbers = options.thenSubgraphIndex, options.elseSubgraphIndex
    else:
        return []
    if not all(0 <= number < len(model.subgraphs) for number in numbers):
        raise DamagedError(f"operator {name} calls a graph that is not there")
    return list(numbers)


def _check_circles(model):
    calls = [
        {
            number
            for name, operator in zip(
                flatbuffer.operator_names(model, graph), graph.operators
            )
            for number in _called(model, name, operator)
        }
        for graph in model.subgraphs
    ]
    # Graphs that call nothing unsettled are settled, until none is left.
    left = set(range(len(calls)))
    while settled := {number for number in left if not calls[number] & left}:
        left -= settled
    if left:
        raise DamagedError("its graphs call each other in a circle")


def _check_branches(model, graph, operator):
    for number in _called(model, "IF", operator):
        branch = model.subgraphs[number]
        _require_same(graph, operator.inputs[1:], branch, branch.inputs)
        _require_same(graph, operator.outputs, branch, branch.outputs)


def _check_loop(model, graph, operator):
    condition, body = (
        model.subgraphs[number] for number in _called(model, "WHILE", operator)
    )
    for called, indices in (
        (condition, condition.inputs),
        *((body, body.inputs), (body, body.outputs)),
        (graph, operator.outputs),
    ):
        _require_same(graph, operator.inputs, called, indices)
    if not any(
        _counts(model, graph, operator, body, comparison)
        for comparison in _comparisons(model, condition)
    ):
        raise ValueError("may not end: none of its inputs counts up to a limit")


def _require_same(graph, indices, called, others):
    types = [graph.tensors[index].type for index in indices]
    if types != [called.tensors[index].type for index in others]:
        raise ValueError("does not fit the graphs that it calls")


def _makers(model, graph):
    """Name and operator behind each tensor that an operator computes."""
    names = flatbuffer.operator_names(model, graph)
    return {
        output: (name, operator)
        for name, operator in zip(names, graph.operators)
        for output in operator.outputs
    }


def _comparisons(model, graph):
    """Inputs of a condition's LESS, as tensors and as numbers of its inputs."""
    makers = _makers(model, graph)
    waiting = list(graph.outputs)
    if len(waiting) != 1:
        return
    while waiting:
        name, operator = makers.get(waiting.pop(), (None, None))
        if name == "LOGICAL_AND":
            waiting.extend(operator.inputs)
        elif name == "LESS":
            counter, limit = operator.inputs
            inputs = list(graph.inputs)
            if counter in inputs:
                yield (
                    inputs.index(counter),
                    inputs.index(limit) if limit in inputs else None,
                    _constant(model, graph, limit),
                )


def _counts(model, graph, operator, body, comparison):
    """Whether a loop counts up from 0 or more to a limit."""
    counter, passed, limit = comparison
    name, step = _makers(model, body).get(body.outputs[counter], (None, None))
    if name != "ADD" or body.inputs[counter] not in step.inputs:
        return False
    added = [index for index in step.inputs if index != body.inputs[counter]]
    start = _constant(model, graph, operator.inputs[counter])
    if len(added) != 1 or start is None or start < 0:
        return False
    rise = _constant(model, body, added[0])
    if rise is None or rise < 1:
        return False
    if passed is not None:
        # A limit from outside has to stay what it is.
        if body.outputs[passed] != body.inputs[passed]:
            return False
        limit = _constant(model, graph, operator.inputs[passed])
        return limit is None or limit <= _MOST_STEPS
    return limit is not None and limit <= _MOST_STEPS


def _constant(model, graph, index):
    """The one integer that a constant tensor holds, else `None`."""
    tensor = graph.tensors[index]
    data = model.buffers[tensor.buffer].data
    types = {schema.TensorType.INT32: "<i4", schema.TensorType.INT64: "<i8"}
    if data is None or tensor.type not in types:
        return None
    values = bytes(bytearray(data))
    if len(values) != np.dtype(types[tensor.type]).itemsize:
        return None
    return int(np.frombuffer(values, types[tensor.type])[0])
