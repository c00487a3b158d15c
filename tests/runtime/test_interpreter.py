"""The interpreter of the runtime alone, which knows no converter."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

import keras_aqe_runtime
from keras_aqe import converters
from keras_aqe_runtime.errors import EngineMissingError
from keras_aqe_runtime.file import flatbuffer
from tests.randomised import images


def test_equals_that_of_the_converters(minw_file):
    x = images((32, 32, 3))
    if minw_file.report.target == "lce":
        with pytest.raises(EngineMissingError, match="Larq.*converters"):
            keras_aqe_runtime.Interpreter(minw_file)
        return
    ours = keras_aqe_runtime.Interpreter(minw_file, num_threads=2)
    theirs = converters.Interpreter(minw_file)
    assert ours.input_names == theirs.input_names
    assert ours.output_names == theirs.output_names
    np.testing.assert_array_equal(ours.predict(x), theirs.predict(x))
    for interpreter in (ours, theirs):
        shown = repr(interpreter)
        names = interpreter.input_names + interpreter.output_names
        assert shown.startswith("<Interpreter of input ") and len(shown) < 200
        assert all(repr(name) in shown for name in names)


@pytest.mark.parametrize("minw_file", ["packed", "tflite"], indirect=True)
def test_parses_a_file_once(minw_file, monkeypatch):
    read, parsed = flatbuffer.read, []

    def counted(data):
        parsed.append(data)
        return read(data)

    monkeypatch.setattr(flatbuffer, "read", counted)
    keras_aqe_runtime.Interpreter(minw_file).predict(images((32, 32, 3)))
    assert len(parsed) == 1


def test_needs_neither_tensorflow_nor_keras(minw_files, tmp_path):
    """Nor what these bring: LiteRT and NumPy will do."""
    path = tmp_path / "model.tflite"
    minw_files["packed"].save(path)
    script = f"""
import sys
for name in ("tensorflow", "keras", "keras_aqe", "rich", "h5py"):
    sys.modules[name] = None
import numpy as np
import keras_aqe_runtime
keras_aqe_runtime.describe()
file = keras_aqe_runtime.Interpreter({str(path)!r})
x = np.load({str(tmp_path / "x.npy")!r})
np.save({str(tmp_path / "y.npy")!r}, file.predict(x))
"""
    x = images((32, 32, 3))
    np.save(tmp_path / "x.npy", x)
    subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        cwd=pathlib.Path(keras_aqe_runtime.__file__).parents[1],
    )
    np.testing.assert_array_equal(
        np.load(tmp_path / "y.npy"),
        converters.Interpreter(minw_files["packed"]).predict(x),
    )
