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
from keras_aqe_runtime.file import flatbuffer, operator_signatures
from tests.converters.networks import TARGETS
from tests.converters.small_files import small_files
from tests.converters.trials import predict

# The files that they edit take seconds to convert.
pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[3]


def run_edited(tmp_path, count, *targets):
    """In a process of its own, since TensorFlow's threads bear no fork."""
    for target in targets:
        (tmp_path / target).mkdir()
        for index, file in enumerate(small_files(target)):
            (tmp_path / target / f"{index}.tflite").write_bytes(file)
    command = [sys.executable, "-m", "tests.converters.trials"]
    result = subprocess.run(
        [*command, "0", str(count), *(tmp_path / target for target in targets)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    print(result)
    found = list(map(ast.literal_eval, re.findall(r"\{.*\}", result)))
    assert len(found) == len(targets)
    for outcomes in found:
        assert sum(outcomes.values()) == count
        assert set(outcomes) <= {"accepted", "refused"}, result


def test_edited_files_neither_crash_nor_hang(tmp_path):
    run_edited(tmp_path, 20, *TARGETS)


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS)
def test_many_edited_files_neither_crash_nor_hang(target, tmp_path):
    run_edited(tmp_path, 10_000, target)


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


@pytest.mark.parametrize("value", [0, -2, 5, None])
def test_options_that_count_outputs(value):
    model = flatbuffer.read(convert(splitting(), "tflite").flatbuffer)
    _, operator = first(model, "SPLIT")
    if value is None:
        operator.builtinOptions = None
        refused(model, "SPLIT has no SplitOptions")
    else:
        operator.builtinOptions.numSplits = value
        refused(model, f"SPLIT has option numSplits = {value}, but 4 outputs")


def splitting():
    inputs = keras.Input((2, 3))
    return keras.Model(inputs, keras.layers.LSTM(2)(inputs))


def test_a_depthwise_convolution_without_its_bias():
    """LiteRT 2.3 reads it all the same."""
    inputs = keras.Input((4, 4, 2))
    outputs = keras.layers.DepthwiseConv2D(2)(inputs)
    model = convert(keras.Model(inputs, outputs), "tflite").flatbuffer
    model = flatbuffer.read(model)
    _, operator = first(model, "DEPTHWISE_CONV_2D")
    operator.inputs = operator.inputs[:2]
    refused(model, "DEPTHWISE_CONV_2D has no input 2")


def test_a_dequantized_constant_of_another_size(model):
    model = copy.deepcopy(model)
    graph, operator = first(model, "DEQUANTIZE")
    tensor = graph.tensors[operator.outputs[0]]
    tensor.shape = tensor.shape + np.int32(1)
    refused(model, "DEQUANTIZE has shapes")


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


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_numbers_of_few_bits_have_no_scale(dtype):
    x = [keras.Input((2,), dtype=dtype, name=name) for name in "ab"]
    y = keras.ops.cast(keras.layers.Concatenate()(x), "float32")
    numbers = np.array([[1, 100]], dtype)
    received = Interpreter(convert(keras.Model(x, y), "tflite")).predict(
        [numbers, numbers]
    )
    np.testing.assert_array_equal([[1, 100, 1, 100]], received)
