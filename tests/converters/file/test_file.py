"""What files say of themselves, and what becomes of damaged ones."""

import ast
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_aqe import layers, models
from keras_aqe.converters import (
    ConversionError,
    Interpreter,
    convert,
    report,
    verify,
)
from keras_aqe.converters.file import flatbuffer, metadata
from keras_aqe.converters.targets import KERNELS
from tests.converters.networks import images, randomise

ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture(scope="module", params=["lce", "packed", "tflite"])
def converted(request):
    model = randomise(models.MINWNet(filters=4, dense_units=8))
    return convert(model, request.param)


def test_a_file_describes_itself(converted, tmp_path):
    path = tmp_path / "model.tflite"
    converted.save(path)
    for file in (path, str(path), path.read_bytes()):
        assert report(file) == converted.report
    assert report(path).target in ("lce", "packed", "tflite")


def test_the_command_line_describes_a_file(converted, tmp_path):
    path = tmp_path / "model.tflite"
    converted.save(path)
    command = [sys.executable, "-m", "keras_aqe.converters", "describe"]
    output = subprocess.run(
        [*command, path], check=True, capture_output=True, text=True
    ).stdout
    assert str(converted.report) in output
    path.write_bytes(path.read_bytes()[:1000])
    failed = subprocess.run([*command, path], capture_output=True, text=True)
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr and "damaged" in failed.stderr


def test_the_report_follows_the_file_not_the_plan():
    model = models.MINWNet(filters=4, dense_units=8)
    file = convert(model, "lce").flatbuffer
    parsed = flatbuffer.read(file)
    description = metadata.read(parsed)
    code = next(
        c for c in parsed.operatorCodes if c.customCode == b"LceBconv2d"
    )
    code.customCode = b"AqeConv2D"
    rows = report(metadata.seal(parsed, description))
    assert [row.op for row in rows][1] == "AqeConv2D"


def test_files_from_elsewhere_have_no_description():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    parsed = flatbuffer.read(convert(model, "tflite").flatbuffer)
    parsed.metadata = None
    file = flatbuffer.write(parsed)
    with pytest.raises(ConversionError, match="metadata"):
        report(file)
    assert Interpreter(file).predict(np.ones((1, 4), "f")).shape == (1, 2)


def test_metadata_of_other_tools_may_be_added(converted):
    parsed = flatbuffer.read(converted.flatbuffer)
    flatbuffer.set_metadata(parsed, "TFLITE_METADATA", b"labels")
    file = flatbuffer.write(parsed)
    assert report(file) == converted.report
    Interpreter(file)


def test_an_edited_weight_is_noticed(converted):
    parsed = flatbuffer.read(converted.flatbuffer)
    index = flatbuffer.weighted_operators(parsed, KERNELS)[1]
    graph = parsed.subgraphs[0]
    tensor = graph.tensors[graph.operators[index].inputs[1]]
    data = parsed.buffers[tensor.buffer].data.copy()
    data[0] ^= 1
    parsed.buffers[tensor.buffer].data = data
    file = flatbuffer.write(parsed)
    for read in (report, Interpreter):
        with pytest.raises(ConversionError, match="damaged"):
            read(file)


def test_a_string_beyond_the_file_is_refused(converted):
    """Python reads what there is of it, LCE's interpreter what is not."""
    name = b"\x09\x00\x00\x00" + metadata.NAME.encode()
    assert converted.flatbuffer.count(name) == 1
    file = converted.flatbuffer.replace(name, b"\xff\xff\xff\x7f" + name[4:])
    # What follows the string in the file may be text or not.
    with pytest.raises(
        ConversionError, match="not a valid|is damaged: 'utf-8'"
    ):
        Interpreter(file)


def run_damaged(converted, tmp_path, count, kind):
    path = tmp_path / "model.tflite"
    converted.save(path)
    command = [sys.executable, "-m", "tests.converters.damage"]
    result = subprocess.run(
        [*command, path, str(count), "0", kind],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    outcomes = ast.literal_eval(result.stdout)
    print(kind, outcomes)
    assert sum(outcomes.values()) == 2 * count
    if kind == "sealed":
        assert outcomes["report refused"] > 0.9 * count
        assert outcomes["predict refused"] > 0.9 * count


KINDS = ["sealed", "resealed", "stock"]


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_neither_crash_nor_hang(converted, tmp_path, kind):
    run_damaged(converted, tmp_path, 50, kind)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files_neither_crash_nor_hang(converted, tmp_path, kind):
    run_damaged(converted, tmp_path, 2000, kind)


def test_an_operator_of_lce_without_a_result_is_refused():
    """Its interpreter crashes on one."""
    model = models.MINWNet(filters=4, dense_units=8)
    parsed = flatbuffer.read(convert(model, "lce").flatbuffer)
    parsed.metadata = None
    Interpreter(flatbuffer.write(parsed))
    names = flatbuffer.operator_names(parsed)
    operators = parsed.subgraphs[0].operators
    operators[names.index("LceBconv2d")].outputs = []
    with pytest.raises(ConversionError, match="LceBconv2d is malformed"):
        Interpreter(flatbuffer.write(parsed))


def _scale_kernel(graph, index):
    kernel = graph.tensors[graph.operators[index].inputs[1]]
    count = len(kernel.quantization.scale)
    kernel.quantization.scale = np.full(count, 1e6, "float32")


def _lose_scale(graph, index):
    image = graph.tensors[graph.operators[index].inputs[0]]
    image.quantization.scale = np.array([1e-44], "float32")


def _move_zero(graph, index):
    image = graph.tensors[graph.operators[index].inputs[0]]
    image.quantization.zeroPoint = np.array([1 << 15])


def _write_twice(graph, index):
    graph.operators[index] = graph.operators[index - 1]


@pytest.mark.parametrize(
    "damage, match",
    [
        (_scale_kernel, "scales too large for CONV_2D"),
        (_lose_scale, "no normal number"),
        (_move_zero, "zero point that its type"),
        (_write_twice, "a value already"),
    ],
)
def test_what_stock_interpreters_crash_on_is_refused(damage, match):
    """LiteRT 2.3 ends in a segmentation fault or corrupts its heap."""
    model = models.MINWNet(filters=4, dense_units=8)
    parsed = flatbuffer.read(convert(model, "tflite").flatbuffer)
    parsed.metadata = None
    Interpreter(flatbuffer.write(parsed))
    names = flatbuffer.operator_names(parsed)
    graph = parsed.subgraphs[0]
    index = [
        i
        for i, name in enumerate(names)
        if name == "CONV_2D" and not flatbuffer.is_float(parsed, i)
    ][0]
    damage(graph, index)
    with pytest.raises(ConversionError, match=match):
        Interpreter(flatbuffer.write(parsed))


def test_a_report_names_a_layer_whose_kernel_is_gone(converted):
    parsed = flatbuffer.read(converted.flatbuffer)
    description = metadata.read(parsed)
    index = description["layers"][1]["operators"][0]
    graph = parsed.subgraphs[0]
    kernel = graph.tensors[graph.operators[index].inputs[1]]
    parsed.buffers[kernel.buffer].data = None
    with pytest.raises(ConversionError, match="damaged.*'conv2'"):
        report(metadata.seal(parsed, description))


def test_verify_compares_the_codes_of_every_layer():
    model = randomise(models.MINWNet(filters=4, dense_units=8))
    converted = convert(model, "lce")
    x = images((32, 32, 3))
    same = verify(model, converted, x)
    assert same.codes_equal and len(same.code_agreement) == 8
    kernel = model.get_layer("conv4").kernel
    kernel.assign(-kernel)
    other = verify(model, converted, x)
    assert other.code_agreement["conv3_quant"] == 1
    assert other.code_agreement["conv4_quant"] < 1
    assert "conv4_quant" in str(other) and not other.codes_equal


def test_verify_tells_calls_of_a_shared_quantizer_apart():
    quantizer = layers.QuantActivation("binary", name="sign")
    x = inputs = keras.Input((8, 8, 3))
    for _ in range(2):
        x = layers.QuantConv2D(5, 3, kernel_quantizer="binary")(quantizer(x))
    model = keras.Model(inputs, quantizer(x))
    verification = verify(model, convert(model, "lce"), images((8, 8, 3)))
    assert verification.code_agreement["sign"] == 1
    assert verification.code_agreement["sign#2"] == 1
