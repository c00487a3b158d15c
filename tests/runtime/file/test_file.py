"""What files say of themselves, and what becomes of damaged ones."""

import ast
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_aqe.converters import (
    ConversionError,
    Interpreter,
    convert,
    report,
)
from keras_aqe.converters.targets import KERNELS
from keras_aqe_runtime.file import flatbuffer, metadata
from tests.converters.damage import KINDS

ROOT = pathlib.Path(__file__).parents[3]


def test_files_from_elsewhere_have_no_description():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    parsed = flatbuffer.read(convert(model, "tflite").flatbuffer)
    parsed.metadata = None
    file = flatbuffer.write(parsed)
    with pytest.raises(ConversionError, match="metadata"):
        report(file)
    assert Interpreter(file).predict(np.ones((1, 4), "f")).shape == (1, 2)


@pytest.mark.slow
def test_metadata_of_other_tools_may_be_added(minw_file):
    parsed = flatbuffer.read(minw_file.flatbuffer)
    flatbuffer.set_metadata(parsed, "TFLITE_METADATA", b"labels")
    file = flatbuffer.write(parsed)
    assert report(file) == minw_file.report
    Interpreter(file)


def test_an_edited_weight_is_noticed(minw_file):
    parsed = flatbuffer.read(minw_file.flatbuffer)
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


def test_a_string_beyond_the_file_is_refused(minw_file):
    """Python reads what there is of it, LCE's interpreter what is not."""
    Interpreter(minw_file)
    name = b"\x09\x00\x00\x00" + metadata.NAME.encode()
    assert minw_file.flatbuffer.count(name) == 1
    file = minw_file.flatbuffer.replace(name, b"\xff\xff\xff\x7f" + name[4:])
    # What follows the string in the file may be text or not.
    with pytest.raises(
        ConversionError, match="not a valid|is damaged: 'utf-8'"
    ):
        Interpreter(file)


def run_damaged(minw_files, tmp_path, count):
    """In one process, since each takes seconds to import what it needs."""
    paths = [tmp_path / f"{target}.tflite" for target in minw_files]
    for path, converted in zip(paths, minw_files.values()):
        converted.save(path)
    command = [sys.executable, "-m", "tests.converters.damage"]
    result = subprocess.run(
        [*command, str(count), "0", *paths],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    found = ast.literal_eval(result.stdout)
    assert len(found) == len(paths) * len(KINDS)
    for (path, kind), outcomes in found.items():
        print(path, kind, outcomes)
        assert sum(outcomes.values()) == 2 * count
        if kind == "sealed":
            assert outcomes["report refused"] > 0.9 * count
            assert outcomes["predict refused"] > 0.9 * count


@pytest.mark.slow
def test_damaged_files_neither_crash_nor_hang(minw_files, tmp_path):
    run_damaged(minw_files, tmp_path, 30)


@pytest.mark.long
def test_many_damaged_files_neither_crash_nor_hang(minw_files, tmp_path):
    run_damaged(minw_files, tmp_path, 2000)
