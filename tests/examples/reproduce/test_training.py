"""Which backend trains, and what every record says."""

import keras
import pytest

from examples.reproduce import runs, tensorflow_training, training


def test_a_record_says_what_trained_it(monkeypatch, tmp_path):
    monkeypatch.setattr(
        tensorflow_training, "train", lambda *args: {"test_accuracy": 0.5}
    )
    run = {**runs.DEFAULTS, "seed": 3}
    record = training.train(run, tmp_path, None, {})
    assert record["run"] == run
    assert record["id"] == runs.identifier(run)
    assert (record["backend"], record["test_accuracy"]) == ("tensorflow", 0.5)
    assert record["versions"].keys() >= {"keras", "tensorflow", "keras_aqe"}
    monkeypatch.setattr(tensorflow_training, "train", lambda *args: None)
    assert training.train(run, tmp_path, None, {}) is None


def test_other_backends_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ValueError, match="Received: torch"):
        training.train(runs.DEFAULTS, tmp_path, None, {})
