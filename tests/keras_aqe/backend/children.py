"""Other backends, each in a Python process and an environment of its own."""

import os
import pathlib
import subprocess
import sysconfig

import keras
import numpy as np
import pytest

from tests.keras_aqe.backend import training

ROOT = pathlib.Path(__file__).parents[3]
HERE = pathlib.Path(__file__).parent
# Of the package's tests: what converts, whose data come with TensorFlow or
# scikit-learn, and what compares backends.
NOT_CORE = [
    "backend/test_jax.py",
    "backend/test_tensorflow.py",
    "backend/test_torch.py",
    "cli",
    "quantization/test_quantize_model_converts.py",
    "test_datasets.py",
]


def python_of(backend):
    """The Python that has a backend; the test is skipped where none has."""
    python = ROOT / f".venv-{backend}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{backend} is not installed: `make backends` does it")
    return python


def run(backend, *args):
    """Runs Python with a backend in the repository; returns its output."""
    result = subprocess.run(
        [python_of(backend), *map(str, args)],
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            # Threads of PyTorch wait for each other where others work too.
            "OMP_NUM_THREADS": "1",
            # Compiling takes longer than what is compiled.
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        },
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def run_core(backend, marked):
    """Runs the tests of the package that need no TensorFlow.

    Args:
        backend: Name of the backend.
        marked: "slow" or "not slow", the tests that are.
    """
    package = HERE.parent
    output = run(
        backend, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider",
        "-m", f"{marked} and not (tensorflow or long or program)",
        *(f"--ignore={package / path}" for path in NOT_CORE),
        package, HERE / "without_tensorflow.py",
    )  # fmt: skip
    assert " passed" in output
    skipped = [line for line in output.splitlines() if "SKIPPED" in line]
    # What this backend of Keras cannot do, and nothing that is not installed.
    assert all(": under " in line for line in skipped), skipped


def compare_training(backend, folder):
    """Trains as TensorFlow did in a folder; all must be the same."""
    run(backend, "-m", "tests.keras_aqe.backend.training", folder)
    ours = np.load(folder / "tensorflow.npz")
    theirs = np.load(folder / f"{backend}.npz")
    assert ours["losses"].shape == (training.STEPS,)
    np.testing.assert_array_equal(theirs["codes"], ours["codes"])
    for name in ours:
        np.testing.assert_allclose(theirs[name], ours[name], atol=1e-4)
    # The other way around: what was trained there, here. PyTorch's optimizers
    # are classes of their own, which Keras finds under PyTorch only.
    model = keras.models.load_model(folder / f"{backend}.keras", compile=False)
    np.testing.assert_array_equal(training.kernel_codes(model), theirs["codes"])
    logits = model.predict(np.load(folder / "data.npz")["x"], verbose=0)
    np.testing.assert_allclose(logits, theirs["logits"], atol=1e-4)


def convert_under(backend):
    """Converts and verifies a network where TensorFlow is installed too."""
    run(backend, "-c", _CONVERT, sysconfig.get_path("purelib"))


_CONVERT = """
import site, sys, warnings
site.addsitedir(sys.argv[1])
import numpy as np
import keras_aqe as aqe
from keras_aqe import converters

model = aqe.models.MINWNet("D", 1, 2, (16, 16, 3), filters=2, dense_units=4)
x = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32")
with warnings.catch_warnings(record=True) as caught:
    converted = converters.convert(model, "tflite")
(said,) = [str(warning.message) for warning in caught]
assert "4 of 4 random" in said and "verified: 4 examples" in said
y = converters.Interpreter(converted.flatbuffer).predict(x)
np.testing.assert_allclose(y, model.predict(x, verbose=0), atol=1e-4)
assert converters.verify(model, converted, x).faultless
"""
