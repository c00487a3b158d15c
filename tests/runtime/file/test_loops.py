"""Loops of edited files fit their graphs, and end."""

import copy

import numpy as np
import pytest

from keras_aqe_runtime.file import flatbuffer
from tests.converters.small_files import small_files
from tests.runtime.file.test_operators import first, refused

# The files that they edit take seconds to convert.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recurrent():
    return flatbuffer.read(small_files("lce")[-1])


def test_a_loop_has_to_count(recurrent):
    name, operator = "WHILE", first(recurrent, "WHILE")[1]
    options = operator.builtinOptions
    names = flatbuffer.operator_names(recurrent)
    assert names.count(name)
    model = copy.deepcopy(recurrent)
    body = model.subgraphs[options.bodySubgraphIndex]
    # The counter stays what it is.
    body.outputs = np.array(body.outputs)
    body.outputs[:2] = body.inputs[:2]
    refused(model, "WHILE may not end")
    model = copy.deepcopy(recurrent)
    graph = model.subgraphs[options.condSubgraphIndex]
    limit = next(
        graph.tensors[operator.inputs[1]]
        for name, operator in zip(
            flatbuffer.operator_names(model, graph), graph.operators
        )
        if name == "LESS"
    )
    model.buffers[limit.buffer].data = np.array([2**30], "<i4").view("uint8")
    refused(model, "WHILE may not end")


def test_graphs_do_not_call_themselves(recurrent):
    model = copy.deepcopy(recurrent)
    first(model, "WHILE")[1].builtinOptions.bodySubgraphIndex = 0
    refused(model, "call each other in a circle")
    model = copy.deepcopy(recurrent)
    first(model, "WHILE")[1].builtinOptions.condSubgraphIndex = 99
    refused(model, "calls a graph that is not there")


def test_a_loop_fits_its_graphs(recurrent):
    model = copy.deepcopy(recurrent)
    operator = first(model, "WHILE")[1]
    body = model.subgraphs[operator.builtinOptions.bodySubgraphIndex]
    body.outputs = body.outputs[:-1]
    refused(model, "WHILE does not fit the graphs that it calls")
