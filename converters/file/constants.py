"""The constants that operators of a file hold, and their bytes."""

import numpy as np


def of_operators(model, indices):
    """The constants that operators read, those inside of loops too.

    Args:
        model: A parsed file.
        indices: Numbers of the operators in the file's first graph.

    Returns:
        A dictionary from numbers of buffers to their bytes.
    """
    graph = model.subgraphs[0]
    sizes = {}
    for operator in (graph.operators[index] for index in indices):
        read = [graph.tensors[tensor] for tensor in operator.inputs if ~tensor]
        for called in _called(model, operator):
            read += called.tensors
        sizes.update(_sizes(model, read))
    return sizes


def of_file(model):
    """All constants of a file, as from `of_operators`."""
    return _sizes(
        model, [tensor for graph in model.subgraphs for tensor in graph.tensors]
    )


def _called(model, operator):
    """The graphs that an operator runs: of a loop, condition and body."""
    numbers = [
        number
        for field, number in getattr(
            operator.builtinOptions, "__dict__", {}
        ).items()
        if field.endswith("SubgraphIndex")
    ]
    return [model.subgraphs[number] for number in numbers]


def _sizes(model, tensors):
    sizes = {}
    for tensor in tensors:
        data = model.buffers[tensor.buffer].data
        if data is not None:
            sizes[tensor.buffer] = np.asarray(data).nbytes
    return sizes
