"""`keras-aqe train` trains, resumes and writes its files, on made-up images."""

import json

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe import cli, datasets
from keras_aqe.cli import training
from keras_aqe.converters import Interpreter

STEPS, EPOCHS = 2, 4


class Recorder(keras.callbacks.Callback):
    """Notes (step, alpha) of each batch; stops the run at `stop_at`."""

    def __init__(self, stop_at=None):
        super().__init__()
        self.stop_at = stop_at
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        step = int(self.model.optimizer.iterations)
        if step == self.stop_at:
            raise KeyboardInterrupt
        quantizers = aqe.callbacks.find(self.model)
        self.seen += [(step, float(q.alpha)) for q in quantizers[:1]]


@pytest.fixture
def few_images(monkeypatch, eager):
    """Few made-up images, and no graphs to train on them."""

    def images(count, seed):
        rng = np.random.default_rng(seed)
        return (
            rng.integers(0, 256, (count, 32, 32, 3), "uint8"),
            rng.integers(0, 10, count),
        )

    def load(data_dir, train_images):
        return images(train_images, 1), images(8, 2), images(8, 3)

    def digits():
        rng = np.random.default_rng(0)
        images = rng.uniform(-1, 1, (30, 32, 32, 1)).astype("float32")
        labels = rng.integers(0, 10, 30)
        return (images[:20], labels[:20]), (images[20:], labels[20:])

    monkeypatch.setattr(datasets, "load_cifar10", load)
    monkeypatch.setattr(datasets, "digits", digits)
    return load


def train(output, *more, dataset="cifar10"):
    """Runs the command; its exit code."""
    with pytest.raises(SystemExit) as ended:
        cli.main(
            [
                *("train", dataset, "--filters", "4", "--dense-units", "8"),
                *("--batch-size", "8", "--train-images", str(8 * STEPS)),
                *("--epochs", str(EPOCHS), "--output", str(output), *more),
            ]
        )
    return ended.value.code


def record(monkeypatch, recorder):
    original = training.build_callbacks
    monkeypatch.setattr(
        training,
        "build_callbacks",
        lambda *args: [*original(*args), recorder],
    )


@pytest.mark.program
def test_resumed_run_goes_on_with_its_alpha_and_writes_its_files(
    few_images, monkeypatch, tmp_path
):
    with monkeypatch.context() as patch:
        record(patch, Recorder(stop_at=STEPS + 1))
        assert train(tmp_path) == 130
    assert not (tmp_path / "model.keras").exists()

    recorder = Recorder()
    record(monkeypatch, recorder)
    assert train(tmp_path, "--resume") == 0

    # The broken epoch is repeated: all steps from its first one on.
    total = STEPS * EPOCHS
    schedule = aqe.schedules.Linear(start=0.1)
    expected = [(s, schedule(s / total)) for s in range(STEPS, total)]
    np.testing.assert_allclose(recorder.seen, expected, rtol=1e-6)

    # The two files and the model in them agree with the reported accuracy.
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["arguments"]["resume"] is True
    assert results["history"]["alpha"][-1] == pytest.approx(1.0)
    x, y = few_images(None, 8)[2]
    x = (x.astype("float32") - results["mean"]) / results["std"]
    x = x.astype("float32")
    model = keras.models.load_model(tmp_path / "model.keras")
    labels = model.predict(x, verbose=0).argmax(-1)
    assert np.mean(labels == y) == pytest.approx(
        results["test_accuracy"], abs=1e-4
    )
    interpreter = Interpreter(tmp_path / "model.tflite")
    np.testing.assert_array_equal(interpreter.predict(x).argmax(-1), labels)
    assert not list(tmp_path.glob("unfinished-*"))


@pytest.mark.program
def test_digits_of_other_widths_as_builtin_operators(
    few_images, tmp_path, capsys
):
    more = ["--input-bits", "2", "--weight-bits", "3", "--epochs", "1"]
    more += ["--estimator", "ste", "--schedule", "cosine"]
    more += ["--target", "tflite", "--json"]
    assert train(tmp_path, *more, dataset="digits") == 0
    results = json.loads(capsys.readouterr().out)
    assert results["arguments"]["augment"] is False
    assert results["bytes"] == (tmp_path / "model.tflite").stat().st_size


@pytest.mark.parametrize("count", ["7", "45001"])
def test_impossible_number_of_images_is_refused(count, tmp_path, capsys):
    assert train(tmp_path, "--train-images", count) == 2
    assert f"Received: {count}" in capsys.readouterr().err


def test_resume_without_a_backup_is_refused(tmp_path, capsys):
    assert train(tmp_path, "--resume") == 3
    assert "nothing to resume" in capsys.readouterr().err
