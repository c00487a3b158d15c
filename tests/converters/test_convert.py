"""What `convert` writes, reports and refuses."""

import importlib
import json
import sys

import keras
import numpy as np
import pytest

import keras_aqe
from keras_aqe import callbacks, layers, models
from keras_aqe.converters import ConversionError, Interpreter, convert, verify
from keras_aqe.converters.targets import TARGETS
from keras_aqe.converters.targets.lce import engine as lce_engine
from keras_aqe.converters.targets.packed import limits
from keras_aqe_runtime.file import flatbuffer
from tests.randomised import images


def small(**kwargs):
    return models.MINWNet(filters=4, dense_units=8, **kwargs)


@pytest.mark.slow
def test_model_a_is_small_and_all_xnor():
    converted = convert(models.MINWNet("A"), target="lce")
    assert len(converted.flatbuffer) <= 1.35 * 2**20
    names = flatbuffer.operator_names(flatbuffer.read(converted.flatbuffer))
    assert names.count("CONV_2D") == 1
    assert names.count("LceBconv2d") == 8
    assert "FULLY_CONNECTED" not in names
    image, *rest = converted.report
    assert image.op == "CONV_2D"
    for row in rest:
        assert (row.op, row.operation) == ("LceBconv2d", "XNOR")
    # One bit a weight, channels padded to words of 32 bits.
    assert sum(row.weight_bytes for row in rest) == (10_352_000 - 3456) / 8


def test_results_are_short_and_render_and_become_data(minw_file):
    report, size = minw_file.report, len(minw_file.flatbuffer)
    assert minw_file.bytes == report.bytes == size
    assert (minw_file.macs, minw_file.bops) == (report.macs, report.bops)
    assert minw_file.energy == report.energy > 0
    for shown in (repr(minw_file), repr(report)):
        assert len(shown) < 100 and f"{size:,} bytes" in shown
        assert f"target={minw_file.target!r}" in shown
    assert minw_file._repr_html_().count("<tr>") > len(report)
    data = json.loads(json.dumps(minw_file.to_dict()))
    assert data["bytes"] == size and data["bops"] == report.bops
    assert [layer["bops"] for layer in data["layers"]] == [
        row.macs * row.input_bits * row.weight_bits for row in report
    ]
    # A float layer costs what floats do, whatever its widths.
    for row in report:
        arithmetic = row.energy - 162.5e-6 * row.weight_bytes
        floats = pytest.approx(4.6e-6 * row.macs, rel=1e-6)
        assert (arithmetic == floats) == (row.kind == "float")


def test_report_prints_every_layer(minw_files):
    report = minw_files["lce"].report
    for row in report:
        assert row.name in str(report)


def test_save_writes_whole_files_only(minw_files, tmp_path, monkeypatch):
    converted = minw_files["tflite"]
    path = tmp_path / "model.tflite"
    converted.save(path)
    assert path.read_bytes() == converted.flatbuffer

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError):
        converted.save(tmp_path / "other.tflite")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.tflite"]


@pytest.mark.slow
def test_verify_counts_differences():
    model = small()
    converted = convert(model, target="tflite")
    x = images((32, 32, 3), examples=6)
    same = verify(model, converted, x)
    assert same.labels_equal and same.examples == 6
    assert "100.00 %" in str(same)
    other = verify(small(), converted, x)
    assert other.max_relative_error > 1e-3


def test_interpreter_checks_its_input(minw_files):
    interpreter = Interpreter(minw_files["tflite"], num_threads=2)
    assert interpreter.predict(images((32, 32, 3), 1)).shape == (1, 10)
    assert interpreter.predict(images((32, 32, 3), 5)).shape == (5, 10)
    with pytest.raises(ValueError, match="shapes"):
        interpreter.predict(images((16, 32, 3)))
    with pytest.raises(ConversionError, match="TFL3"):
        Interpreter(b"not a file")


def conv(**kwargs):
    return layers.QuantConv2D(4, 3, name="the_conv", **kwargs)


def functional(*sequence):
    x = inputs = keras.Input((8, 8, 3))
    for layer in sequence:
        x = layer(x)
    return keras.Model(inputs, x)


def refused(model, target, match):
    with pytest.raises(ConversionError, match=match):
        convert(model, target)


def test_refuses_layers_that_it_does_not_know():
    inputs = keras.Input((8, 8, 8, 3))
    layer = layers.QuantConv3D(2, 3, kernel_quantizer="binary", name="up")
    model = keras.Model(inputs, layer(inputs))
    for target in ("lce", "tflite"):
        refused(model, target, "'up'.*QuantConv3D")


def test_refuses_channels_first():
    model = functional(
        layers.QuantConv2D(
            2,
            3,
            data_format="channels_first",
            kernel_quantizer="binary",
            name="first",
        )
    )
    refused(model, "tflite", "'first'.*channels_last")


@pytest.mark.slow
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_refuses_weights_that_are_not_finite(value):
    model = small()
    kernel = np.array(model.get_layer("conv3").kernel)
    kernel[0, 0, 0, 0] = value
    model.get_layer("conv3").kernel.assign(kernel)
    refused(model, "lce", "conv3.*NaN")


def test_refuses_a_model_never_built():
    model = keras.Sequential([layers.QuantDense(3, kernel_quantizer="binary")])
    refused(model, "tflite", "not built")


def test_refuses_subclassed_models():
    class Model(keras.Model):
        def call(self, x):
            return x

    refused(Model(), "tflite", "Functional and Sequential")


def test_refuses_mixed_precision():
    x = inputs = keras.Input((4,))
    x = layers.QuantDense(
        3, kernel_quantizer="binary", dtype="mixed_bfloat16", name="mixed"
    )(x)
    refused(keras.Model(inputs, x), "tflite", "'mixed'.*bfloat16")


@pytest.mark.slow
def test_refuses_a_run_that_stopped_before_alpha_was_one():
    model = small()
    model.compile("adam", "mse", run_eagerly=True)
    x, y = images((32, 32, 3), 4), np.zeros((4, 10))
    model.fit(x, y, verbose=0)
    refused(model, "lce", "alpha = 0.500")
    scheduler = callbacks.AlphaScheduler(lambda progress: 1.0)
    model.fit(x, y, verbose=0, callbacks=[scheduler])
    convert(model, "lce")


def test_refuses_unknown_targets():
    with pytest.raises(ValueError, match="'onnx'"):
        convert(small(), "onnx")


def test_importing_converters_does_not_need_lce(monkeypatch):
    monkeypatch.setitem(sys.modules, "larq_compute_engine", None)
    monkeypatch.setattr(keras_aqe, "converters", None)
    for name in list(sys.modules):
        if name.startswith("keras_aqe.converters"):
            monkeypatch.delitem(sys.modules, name)
    importlib.import_module("keras_aqe.converters")


def with_a_wide_pool():
    """A model with a window that is too wide for the packed format."""
    sound = keras.Input((40000, 1))
    x = layers.QuantActivation("binary")(sound)
    x = keras.layers.MaxPooling1D(33000, name="wide")(x)
    return keras.Model(
        sound, layers.QuantDense(1, kernel_quantizer="binary")(x)
    )


def test_names_the_layer_that_the_engine_refuses(monkeypatch):
    # As if the converter did not know this limit.
    monkeypatch.setattr(limits, "MAX_WINDOW", 2**20)
    with pytest.raises(
        ConversionError, match="Layer 'wide'.*cannot run.*'pool_width' must"
    ):
        convert(with_a_wide_pool())


@pytest.mark.slow
def test_converts_without_the_engine(monkeypatch):
    monkeypatch.setattr(limits, "MAX_WINDOW", 2**20)

    def missing(num_threads, profile):
        raise RuntimeError("The native runtime is not there.")

    monkeypatch.setattr("keras_aqe_runtime.library.load_delegate", missing)
    convert(with_a_wide_pool())
    monkeypatch.setattr(lce_engine, "_numpy_major", 2)
    convert(small(), "lce")


@pytest.mark.parametrize("target", TARGETS)
def test_values_that_a_layer_refuses_are_no_fault_of_the_file(target):
    """A division of integers by 0, which interpreters refuse to do."""
    numbers = keras.Input((4,), dtype="int32")
    quotient = keras.ops.floor_divide(numbers, numbers)
    x = layers.QuantDense(
        2, input_quantizer="binary", kernel_quantizer="binary"
    )(keras.ops.cast(quotient, "float32"))
    file = convert(keras.Model(numbers, x), target)
    assert Interpreter(file).predict(np.full((1, 4), 7, "int32")).shape == (
        1,
        2,
    )
