"""The demonstration runs to its end, on few of its images."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from examples import demo
from keras_aqe import callbacks
from keras_aqe.converters import Interpreter, report


@pytest.fixture
def few_digits(monkeypatch):
    """Smaller ones, and no graphs, which take longer than a step."""
    (x, y), (x_test, y_test) = demo.digits()
    x, x_test = x[:14, ::2, ::2], x_test[:16, ::2, ::2]
    few = (x, y[:14]), (x_test, y_test[:16])
    monkeypatch.setattr(demo, "digits", lambda: few)
    # The only step is hard.
    scheduler = callbacks.AlphaScheduler(lambda progress: 1.0)
    monkeypatch.setattr(callbacks, "AlphaScheduler", lambda: scheduler)
    tf.config.run_functions_eagerly(True)
    yield few
    tf.config.run_functions_eagerly(False)


def test_digits_are_whole():
    (x, y), (x_test, y_test) = demo.digits()
    assert len(x) + len(x_test) == 1797 and x.shape[1:] == (32, 32, 1)
    assert (x.min(), x.max()) == (-1, 1)
    assert set(y) == set(y_test) == set(range(10))


@pytest.mark.slow
def test_writes_files_that_agree_with_the_model(
    few_digits, tmp_path, monkeypatch, capsys
):
    pytest.importorskip("larq_compute_engine")
    arguments = ["demo.py", "--epochs", "1", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    demo.main()
    assert {path.name for path in tmp_path.iterdir()} == {
        *("model.tflite", "float.tflite", "model.keras"),
    }
    assert "times smaller" in capsys.readouterr().out
    x = few_digits[1][0]
    expected = keras.models.load_model(tmp_path / "model.keras").predict(
        x, verbose=0
    )
    found = Interpreter(tmp_path / "model.tflite").predict(x)
    np.testing.assert_array_equal(expected.argmax(-1), found.argmax(-1))
    kinds = {row.kind for row in report(tmp_path / "float.tflite")}
    assert kinds == {"float"}
