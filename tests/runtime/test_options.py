"""Files that do not fit docs/format.md get an error, never a wrong answer."""

import importlib.util
import subprocess

import numpy as np
import pytest

from keras_aqe import runtime
from tests.runtime.engines import run, run_in_child
from tests.runtime.packed_files import (
    LEVELS,
    one_operator,
    pack_activations,
    pack_weights,
    pool_options,
    window_options,
)

OPTIONS = {
    "input_channels": 70,
    "input_bits": 2,
    "weight_bits": 2,
    "output_channels": 9,
    "output_bits": 2,
    **window_options((3, 3), (1, 1), (1, 1), "VALID"),
    **pool_options((2, 2), (2, 2), "VALID"),
}


def conv_file(
    options=(),
    without=(),
    weights=None,
    thresholds=None,
    direction=None,
    shape=(1, 6, 6, 70),
    output_dtype="int64",
    extra=(),
):
    rng = np.random.default_rng(0)
    x = pack_activations(rng.choice(LEVELS[2], shape), 2)
    if weights is None:
        weights = pack_weights(rng.choice(LEVELS[2], (9, 3, 3, 70)), 2)
    if thresholds is None:
        thresholds = np.repeat([[-3], [4]], 9, axis=1).astype(np.int32)
    if direction is None:
        direction = np.ones(9, np.int8)
    merged = {**OPTIONS, **dict(options)}
    for name in without:
        del merged[name]
    file = one_operator(
        "AqeConv2D",
        x,
        [weights, thresholds, direction, *extra],
        (1, 2, 2, 2),
        output_dtype,
        merged,
    )
    return file, x


def expect_error(message, *args, **kwargs):
    file, x = conv_file(*args, **kwargs)
    with pytest.raises((RuntimeError, ValueError), match=message):
        run(file, x)


def test_the_file_itself_is_right():
    file, x = conv_file()
    assert run(file, x).shape == (1, 2, 2, 2)


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_missing_option(name):
    expect_error(f"option '{name}' is missing", without=[name])


NEWER = "format version 3, this runtime reads versions up to 2"


@pytest.mark.parametrize("engine", ["litert", "tf"])
def test_newer_format(engine):
    file, x = conv_file({"format": 3})
    with pytest.raises((RuntimeError, ValueError), match=NEWER):
        run(file, x, engine=engine)


def test_newer_format_in_tflite_runtime(capfd):
    if importlib.util.find_spec("tflite_runtime") is None:
        pytest.skip("tflite-runtime ends with Python 3.11")
    file, x = conv_file({"format": 3})
    with pytest.raises(subprocess.CalledProcessError) as error:
        run_in_child(file, x, "tflite_runtime", runtime.library_path())
    assert error.value.returncode == 1  # an exception, no crash
    assert NEWER in capfd.readouterr().err


@pytest.mark.parametrize(
    "options, message",
    [
        ({"stride_width": 0}, "'stride_width' must lie between 1 and"),
        ({"weight_bits": 5}, "'weight_bits' must lie between 1 and 4"),
        ({"input_bits": 7}, "input_bits must be 1, 2, 3, 4, 8 or 32"),
        ({"input_channels": 129}, "last dimension of input must be 6"),
        ({"input_channels": 71}, "weights must have shape"),
        ({"kernel_height": 2}, "weights must have shape"),
        ({"output_channels": 10}, "weights must have shape"),
        ({"kernel_height": 9}, "larger than the padded input"),
        ({"dilation_height": 2**15}, "larger than the padded input"),
        ({"groups": 4}, "groups must divide"),
        ({"pad_value": 2}, "pad_value 2 is no code"),
        ({"padding": 3}, "'padding' must lie between 0 and 2"),
        ({"padding": 2}, "option 'pad_top' is missing"),
        ({"output_bits": 3}, "thresholds must hold 54 elements"),
        ({"output_bits": 32}, "cannot be INT64"),
        ({"output_bits": 8}, "output must be INT8, but is INT64"),
    ],
)
def test_option_out_of_range(options, message):
    expect_error(message, options)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"code_bits": 9}, "'code_bits' must lie between 1 and 8"),
        ({"code_bits": 0}, "'code_bits' must lie between 1 and 8"),
        ({"first_code": 125}, "'first_code' must lie between -128 and 124"),
        ({"first_code": -129}, "'first_code' must lie between -128 and 124"),
        ({}, "thresholds must hold 27 elements"),
    ],
)
def test_fewer_codes_out_of_range(options, message):
    options = {"format": 2, "output_bits": 8, "code_bits": 2, **options}
    expect_error(message, options, output_dtype="int8")
