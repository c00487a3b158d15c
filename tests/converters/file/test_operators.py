"""Edited files: whatever operators they hold, nothing crashes or hangs."""

import ast
import copy
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from keras_aqe.converters import ConversionError, Interpreter, convert
from keras_aqe.converters.file import flatbuffer, operator_signatures
from tests.converters.networks import TARGETS
from tests.converters.small_files import small_files
from tests.converters.trials import predict

ROOT = pathlib.Path(__file__).parents[3]


def run_edited(target, count):
    """In a process of its own, since TensorFlow's threads bear no fork."""
    command = [sys.executable, "-m", "tests.converters.trials"]
    result = subprocess.run(
        [*command, target, "0", str(count)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    print(result)
    outcomes = ast.literal_eval(re.search(r"\{.*\}", result)[0])
    assert sum(outcomes.values()) == count
    assert set(outcomes) <= {"accepted", "refused"}, result


@pytest.mark.parametrize("target", TARGETS)
def test_edited_files_neither_crash_nor_hang(target):
    run_edited(target, 60)


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS)
def test_many_edited_files_neither_crash_nor_hang(target):
    run_edited(target, 10_000)


@pytest.fixture(scope="module", params=TARGETS)
def files(request):
    return small_files(request.param)


def refused(model, match):
    model = copy.deepcopy(model)
    model.metadata = None
    with pytest.raises(ConversionError, match=match):
        Interpreter(flatbuffer.write(model))


def operators(model):
    """The first of each kind of builtin operator, with its signature."""
    seen = set()
    for graph in model.subgraphs:
        names = flatbuffer.operator_names(model, graph)
        for name, operator in zip(names, graph.operators):
            signature = operator_signatures.find(name)
            if signature is not None and name not in seen:
                seen.add(name)
                yield name, signature, graph, operator


def test_files_of_networks_are_as_the_table_says(files):
    for data in files:
        predict(data)


def test_every_input_has_to_be_there(files):
    for data in files:
        model = flatbuffer.read(data)
        for name, signature, _, operator in operators(model):
            before = operator.inputs
            for place in range(len(before)):
                if signature.inputs[
                    min(place, len(signature.inputs) - 1)
                ].is_optional:
                    continue
                operator.inputs = np.array(before)
                operator.inputs[place] = -1
                refused(model, f"operator {name} has no input {place}")
            operator.inputs = before
            before = operator.outputs
            operator.outputs = []
            refused(model, f"operator {name} has no output 0")
            operator.outputs = before
            break  # one of each file, since writing takes time


@pytest.fixture(scope="module")
def model():
    return flatbuffer.read(small_files("tflite")[0])


def first(model, wanted):
    return next(
        (graph, operator)
        for name, _, graph, operator in operators(model)
        if name == wanted
    )


def test_too_many_inputs(model):
    model = copy.deepcopy(model)
    _, operator = first(model, "SOFTMAX")
    operator.inputs = [*operator.inputs, *operator.inputs]
    refused(model, "operator SOFTMAX has 2 inputs, not 1")


def test_a_type_that_it_cannot_take(model):
    model = copy.deepcopy(model)
    graph, operator = first(model, "RESHAPE")
    graph.tensors[operator.inputs[1]].type = schema.TensorType.FLOAT32
    refused(model, "RESHAPE cannot take FLOAT32 as input 1, but INT32")


def test_axes_that_it_cannot_take(model):
    model = copy.deepcopy(model)
    graph, operator = first(model, "CONV_2D")
    tensor = graph.tensors[operator.inputs[1]]
    tensor.shape = [int(np.prod(tensor.shape))]
    tensor.quantization = None
    refused(model, "CONV_2D cannot take a tensor of 1 axes as input 1")


@pytest.mark.parametrize("value", [0, -1, 2**30])
def test_options_out_of_range(model, value):
    model = copy.deepcopy(model)
    _, operator = first(model, "CONV_2D")
    operator.builtinOptions.strideW = value
    refused(model, f"CONV_2D has option strideW = {value}")


def test_options_of_another_operator(model):
    model = copy.deepcopy(model)
    _, operator = first(model, "CONV_2D")
    operator.builtinOptions = schema.SoftmaxOptionsT()
    operator.builtinOptionsType = schema.BuiltinOptions.SoftmaxOptions
    refused(model, "CONV_2D has no Conv2DOptions")


def test_small_integers_without_a_scale(model):
    model = copy.deepcopy(model)
    graph, operator = first(model, "QUANTIZE")
    graph.tensors[operator.outputs[0]].quantization = None
    refused(model, "QUANTIZE has no scale of output 0")


def test_scales_too_far_apart(model):
    """LiteRT 2.3 aborts the process."""
    model = copy.deepcopy(model)
    graph, operator = first(model, "PADV2")
    graph.tensors[operator.inputs[0]].quantization.scale = np.array([1e38], "f")
    refused(model, "scales too far apart")


@pytest.mark.parametrize("name", ["LSH_PROJECTION", "HASHTABLE", "SVDF"])
def test_operators_that_no_keras_model_has(model, name):
    model = copy.deepcopy(model)
    code = model.operatorCodes[first(model, "SOFTMAX")[1].opcodeIndex]
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    refused(model, f"operator {name} is none that files of Keras")


def test_a_custom_name_does_not_hide_a_builtin_operator(model):
    model = copy.deepcopy(model)
    _, operator = first(model, "SOFTMAX")
    model.operatorCodes[operator.opcodeIndex].customCode = b"AqeQuantize"
    operator.inputs = []
    refused(model, "operator SOFTMAX has no input 0")


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


def test_the_table_knows_what_layers_come_out_as():
    """More operators than the small files have."""
    ops, some = keras.ops, keras.layers
    x = keras.Input((6, 6, 4))
    sequence = ops.reshape(x, (-1, 36, 4))
    outputs = [
        *(f(x) for f in (ops.ceil, ops.cos, ops.exp, ops.log, ops.rsqrt)),
        *(f(x) for f in (ops.sign, ops.relu6, ops.gelu, ops.hard_swish)),
        *(f(x, -1) for f in (ops.any, ops.all, ops.min, ops.prod, ops.var)),
        *(ops.maximum(x, 0.5), ops.floor_divide(x, 2.0), ops.mod(x, 2.0)),
        *(ops.power(x, 2.0), ops.logical_or(x > 0, x < 1), ops.flip(x, 1)),
        *(ops.where(x > 0, x, -x), ops.tile(x, (1, 2, 1, 1)), ops.tril(x)),
        ops.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)), mode="reflect"),
        *(ops.take(x, [0, 2], 1), ops.stack([x, x], 1), x[:, ::2, 1:-1]),
        ops.one_hot(ops.cast(x[..., 0], "int32"), 3),
        *(ops.matmul(sequence, sequence[:, :4]), ops.cumsum(x, 1)),
        some.Conv2D(3, 3, dilation_rate=2)(x),
        some.Conv3D(2, 2)(ops.expand_dims(x, -1)),
        some.Conv3DTranspose(2, 2)(ops.expand_dims(x, -1)),
        some.Resizing(4, 4, interpolation="nearest")(x),
        *(some.Discretization([0.0, 0.5])(x), some.GroupNormalization(2)(x)),
        some.LSTM(2, unroll=True)(sequence[:, :3]),
    ]
    # It runs what it wrote.
    convert(keras.Model(x, outputs), "tflite", strict=False)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_numbers_of_few_bits_have_no_scale(dtype):
    x = [keras.Input((2,), dtype=dtype, name=name) for name in "ab"]
    y = keras.ops.cast(keras.layers.Concatenate()(x), "float32")
    numbers = np.array([[1, 100]], dtype)
    received = Interpreter(convert(keras.Model(x, y), "tflite")).predict(
        [numbers, numbers]
    )
    np.testing.assert_array_equal([[1, 100, 1, 100]], received)


def test_every_line_of_the_table_is_of_an_operator():
    names = {
        name
        for name, code in vars(schema.BuiltinOperator).items()
        if isinstance(code, int)
    }
    known = {name for name in names if operator_signatures.find(name)}
    assert len(known) > 100
    for name in known:
        signature = operator_signatures.find(name)
        assert signature.outputs
        for argument in (*signature.inputs, *signature.outputs):
            assert argument.least <= argument.most
            if argument.like is not None:
                assert argument.like < len(signature.inputs)
