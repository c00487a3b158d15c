"""Other backends, each in a Python process and an environment of its own."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[3]
CORE = sorted(pathlib.Path(__file__).parent.glob("test_backend*.py"))


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
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def run_core(backend):
    """Runs what passes under every backend: all test_backend*.py here."""
    # The conftest.py further up imports TensorFlow.
    output = run(
        backend, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider",
        "--confcutdir", CORE[0].parent, *CORE,
    )  # fmt: skip
    assert " passed" in output
    assert "skipped" not in output
