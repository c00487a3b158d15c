"""Files of builtin operators in TensorFlow Lite Micro. Run by
`make test-micro`."""

import os
import pathlib
import subprocess

import numpy as np
import pytest

from keras_aqe import models
from keras_aqe.converters import Interpreter, convert
from tests.randomised import images, randomise

CHILD = pathlib.Path(__file__).with_name("micro_child.py")
PYTHON = os.environ.get("MICRO_PYTHON")


def networks():
    small = {"filters": 8, "dense_units": 16}
    for bits in ((1, 1), (2, 2), (3, 3), (4, 4), (8, 3)):
        yield models.MINWNet("D", *bits, **small)
    yield models.ResNet20(input_bits=2, weight_bits=1, filters=4)


@pytest.mark.long  # Needs a Python with tflite-micro.
@pytest.mark.skipif(PYTHON is None, reason="no MICRO_PYTHON: make test-micro")
def test_files_run_on_microcontrollers(tmp_path):
    x = images((32, 32, 3))
    expected = {}
    for i, model in enumerate(networks()):
        converted = convert(randomise(model), target="tflite")
        converted.save(tmp_path / f"{i}.tflite")
        np.save(tmp_path / f"{i}.npy", x)
        expected[i] = Interpreter(converted).predict(x)
        assert np.ptp(expected[i]) > 0
    subprocess.run([PYTHON, CHILD, tmp_path], check=True)
    for i, y in expected.items():
        np.testing.assert_array_equal(np.load(tmp_path / f"{i}.out.npy"), y)
