"""Wheels carry the native runtime; without a compiler they say what is lost."""

import os
import pathlib
import shutil
import subprocess
import sys
import venv
import zipfile

import numpy as np
import pytest

from keras_aqe import models
from keras_aqe.converters import Interpreter, convert
from tests.randomised import images, randomise

ROOT = pathlib.Path(__file__).parents[1]
LIBRARY = "keras_aqe_runtime/libkeras_aqe_delegate.so"
# What pip and CMake themselves call.
COMMANDS = ("sh", "env", "uname", "rm", "mkdir", "cat", "sed", "grep")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux"),
]


def wheel(folder, path):
    """A wheel built in a folder with that PATH, and what pip printed."""
    source = folder / "source"
    ignored = shutil.ignore_patterns("build", ".*", "*.so", "*.egg-info")
    shutil.copytree(ROOT, source, ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-v"]
    printed = subprocess.run(
        [*command, "--wheel-dir", folder, source],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
    )
    (built,) = folder.glob("*.whl")
    return built, printed.stdout + printed.stderr


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a compiler")
def test_an_installed_wheel_runs_packed_files(tmp_path):
    built, _ = wheel(tmp_path, os.environ["PATH"])
    assert LIBRARY in zipfile.ZipFile(built).namelist()
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", built], check=True)

    model = randomise(models.MINWNet("D", 2, 2, filters=6, dense_units=20))
    file = convert(model).flatbuffer
    x = images((32, 32, 3))
    (tmp_path / "model.tflite").write_bytes(file)
    np.save(tmp_path / "x.npy", x)
    script = """
import numpy as np
from keras_aqe.converters import Interpreter
with open("model.tflite", "rb") as file:
    np.save("y.npy", Interpreter(file.read()).predict(np.load("x.npy")))
"""
    subprocess.run([python, "-c", script], cwd=tmp_path, check=True)
    np.testing.assert_array_equal(
        np.load(tmp_path / "y.npy"), Interpreter(file).predict(x)
    )


def test_without_a_compiler(tmp_path):
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in COMMANDS:
        (commands / name).symlink_to(shutil.which(name))
    built, printed = wheel(tmp_path, str(commands))
    assert LIBRARY not in zipfile.ZipFile(built).namelist()
    assert "the native runtime was not built" in printed
    assert "packed files cannot run" in printed
