"""`keras-aqe demo` runs to its end, on few of its images."""

import json

import keras
import numpy as np
import pytest

from keras_aqe import callbacks, cli, datasets
from keras_aqe.converters import Interpreter, report


@pytest.fixture
def few_digits(monkeypatch, eager):
    """Smaller ones, for a step without a graph."""
    (x, y), (x_test, y_test) = datasets.digits()
    x, x_test = x[:14, ::2, ::2], x_test[:16, ::2, ::2]
    few = (x, y[:14]), (x_test, y_test[:16])
    monkeypatch.setattr(datasets, "digits", lambda: few)
    # The only step is hard.
    scheduler = callbacks.AlphaScheduler(lambda progress: 1.0)
    monkeypatch.setattr(callbacks, "AlphaScheduler", lambda: scheduler)
    return few


@pytest.mark.program
def test_writes_files_that_agree_with_the_model(few_digits, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["demo", "--epochs", "1", "--output", str(tmp_path), "--json"])
    assert ended.value.code == 0
    result = json.loads(capsys.readouterr().out)
    assert result["verification"]["faultless"]
    files = {"model.tflite", "model-lce.tflite", "float.tflite", "model.keras"}
    assert files <= {path.name for path in tmp_path.iterdir()}
    x, y = few_digits[1]
    expected = keras.models.load_model(tmp_path / "model.keras").predict(
        x, verbose=0
    )
    found = Interpreter(tmp_path / "model.tflite").predict(x)
    np.testing.assert_array_equal(expected.argmax(-1), found.argmax(-1))
    accuracy = np.mean(found.argmax(-1) == y)
    assert result["file_accuracy"]["packed"] == pytest.approx(accuracy)
    kinds = {row.kind for row in report(tmp_path / "float.tflite")}
    assert kinds == {"float"}
