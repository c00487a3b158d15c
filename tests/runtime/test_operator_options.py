"""Files that do not fit docs/format.md get an error, never a wrong answer."""

import importlib.util
import subprocess

import numpy as np
import pytest

from keras_aqe import runtime
from tests.runtime.engines import run, run_in_child
from tests.runtime.packed_files import (
    LEVELS,
    PackedFile,
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


NEWER = "format version 6, this runtime reads versions up to 5"


@pytest.mark.parametrize("engine", ["litert", "tf"])
def test_newer_format(engine):
    file, x = conv_file({"format": 6})
    with pytest.raises((RuntimeError, ValueError), match=NEWER):
        run(file, x, engine=engine)


def test_newer_format_in_tflite_runtime(capfd):
    if importlib.util.find_spec("tflite_runtime") is None:
        pytest.skip("tflite-runtime ends with Python 3.11")
    file, x = conv_file({"format": 6})
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


def sum_file(options=(), addend=(1, 5), outputs=2, constants=None, limits=None):
    """A dense layer whose floats are added to an input and quantized."""
    file = PackedFile()
    inputs = [file.tensor((1, 4), np.int64)]
    inputs += [
        file.constant(pack_weights(np.ones((5, 70), int), 1)),
        file.constant(np.ones(5, np.float32)),
        file.constant(np.zeros(5, np.float32)),
        file.constant(np.zeros((1, 5), np.float32)),
        file.constant(np.ones(5, np.int8)),
    ]
    inputs = inputs[:constants]
    if limits is not None:
        inputs.insert(4, file.constant(np.array(limits, np.float32)))
        options = {"limits": 1, **dict(options)}
    fed = [inputs[0]]
    if addend is not None:
        fed.append(file.tensor(addend, np.float32))
        inputs.append(fed[-1])
    targets = [
        file.tensor((1, 5), np.float32),
        file.tensor((1, 1), np.int64),
        file.tensor((1, 1), np.int64),
    ][outputs == 1 :][:outputs]
    merged = {
        "format": 4,
        "input_channels": 70,
        "input_bits": 2,
        "weight_bits": 1,
        "output_channels": 5,
        "output_bits": 32,
        "addend": 1,
        "quantizer_bits": 1,
        **dict(options),
    }
    file.operator("AqeFullyConnected", inputs, targets, merged)
    x = [np.zeros((1, 4), np.int64)]
    if addend is not None:
        x.append(np.full(addend, -0.5, np.float32))
    return file.write(fed, targets), x


def test_the_file_of_a_sum_is_right():
    file, x = sum_file()
    floats, codes = run(file, *x)
    np.testing.assert_array_equal(floats, np.full((1, 5), -0.5, "float32"))
    np.testing.assert_array_equal(codes, [[0b11111]])
    file, x = sum_file(outputs=1)
    np.testing.assert_array_equal(run(file, *x), codes)
    alone = {"format": 5, "addend": 0}
    file, x = sum_file(alone, addend=None, outputs=1, limits=(-2, -1))
    np.testing.assert_array_equal(run(file, *x), [[0b11111]])


@pytest.mark.parametrize(
    "options, others, message",
    [
        ({"addend": 2}, {}, "'addend' must lie between 0 and 1"),
        ({"addend": 0}, {}, "must have 6 inputs, but has 7"),
        ({}, {"addend": None}, r"input 6 \(addend\) is missing"),
        (
            {},
            {"addend": (1, 6)},
            r"output's floats, \[1, 5\], but its shape is",
        ),
        (
            {},
            {"addend": (2, 5)},
            r"output's floats, \[1, 5\], but its shape is",
        ),
        ({}, {"addend": (1, 1, 5)}, "must have the shape of the output's"),
        ({"quantizer_bits": 9}, {}, "'quantizer_bits' must lie between 1 and"),
        ({"quantizer_bits": 5}, {}, "quantizer_bits must be 1, 2, 3, 4, 8"),
        ({"quantizer_bits": 0}, {}, "'quantizer_bits' must lie between 1 and"),
        ({"quantizer_bits": 2}, {}, "thresholds must hold 10 elements"),
        ({"quantizer_bits": 8}, {}, "output must be INT8, but is INT64"),
        ({"quantizer_rounding": 1}, {}, "rounding needs 8-bit output"),
        ({"quantizer_offset": 1}, {}, "offset needs float output or rounding"),
        ({"output_bits": 1}, {}, "limits and quantizers need float output"),
        ({}, {"outputs": 3}, "each of its 1 quantizers, but has 3"),
        ({"limits": 2}, {}, "'limits' must lie between 0 and 1"),
        ({"limits": 1}, {}, "limits must hold 2 elements"),
        ({}, {"limits": [1]}, "limits must hold 2 elements"),
        ({}, {"limits": [1, 0]}, "must not be above the second"),
        ({}, {"limits": [0, np.nan]}, "must not be above the second"),
        ({"quantizer2_bits": 1}, {}, "output must be INT64, but is FLOAT32"),
        (
            {"quantizer2_bits": 1},
            {"outputs": 3},
            r"input 7 \(direction\) is missing",
        ),
        ({}, {"constants": 4}, "thresholds must be FLOAT32|is missing"),
    ],
)
def test_sums_that_are_refused(options, others, message):
    file, x = sum_file(options, **others)
    with pytest.raises((RuntimeError, ValueError), match=message):
        run(file, *x)


def parts_file(options=(), others=((1, 2, 3), (1, 2, 60)), dtype=np.float32):
    """A quantizer of tensors, the first of two channels."""
    file = PackedFile()
    parts = [file.tensor((1, 2, 2), np.float32)]
    parts += [file.tensor(shape, dtype) for shape in others]
    inputs = [
        *parts,
        file.constant(np.zeros((1, 65), np.float32)),
        file.constant(np.ones(65, np.int8)),
    ]
    target = file.tensor((1, 2, 2), np.int64)
    merged = {
        "format": 4,
        "input_channels": 65,
        "output_bits": 1,
        "parts": len(parts),
        **dict(options),
    }
    file.operator("AqeQuantize", inputs, [target], merged)
    tensors = [(1, 2, 2), *others]
    x = [np.full(shape, -1, dtype) for shape in tensors]
    x[0] = x[0].astype(np.float32)
    return file.write(parts, [target]), x


def test_the_file_of_parts_is_right():
    file, x = parts_file()
    x[1][0, 1, 2] = 0
    ones = 2**64 - 1
    expected = np.array([[[ones, 1], [ones - 2**4, 1]]], np.uint64)
    np.testing.assert_array_equal(run(file, *x), expected.view(np.int64))


@pytest.mark.parametrize(
    "options, others, message",
    [
        ({"parts": 0}, {}, "'parts' must lie between 1 and"),
        ({"parts": 1}, {}, "last dimension of input must be 65"),
        ({"parts": 2}, {}, "must have 65 channels together, but have 5"),
        ({"parts": 4}, {}, "but for the channels; its shape is"),
        ({"parts": 2**20}, {}, "but for the channels; its shape is"),
        ({"input_channels": 64}, {}, "have 64 channels together, but have 65"),
        ({}, {"others": ((1, 2, 63),)}, None),
        ({}, {"others": ((1, 3, 63),)}, "but for the channels"),
        ({}, {"others": ((1, 2, 1, 63),)}, "but for the channels"),
        ({}, {"others": ((63,),)}, "but for the channels"),
        ({}, {"dtype": np.int32}, "a part must be FLOAT32, but is INT32"),
    ],
)
def test_parts_that_are_refused(options, others, message):
    file, x = parts_file(options, **others)
    if message is None:
        run(file, *x)
        return
    with pytest.raises((RuntimeError, ValueError), match=message):
        run(file, *x)
