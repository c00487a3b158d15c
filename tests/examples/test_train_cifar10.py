"""The example trains, resumes and writes its files, on made-up images."""

import importlib.util
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_aqe as aqe
from keras_aqe.converters import Interpreter

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_cifar10.py"
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
def example(monkeypatch):
    """The example on few made-up images, and without graphs."""
    spec = importlib.util.spec_from_file_location("train_cifar10", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def images(count, seed):
        rng = np.random.default_rng(seed)
        return (
            rng.integers(0, 256, (count, 32, 32, 3), "uint8"),
            rng.integers(0, 10, count),
        )

    def load(data_dir, train_images):
        return images(train_images, 1), images(8, 2), images(8, 3)

    monkeypatch.setattr(module, "load_cifar10", load)
    tf.config.run_functions_eagerly(True)
    yield module
    tf.config.run_functions_eagerly(False)


def command(output, *more):
    return [
        *("--filters", "8", "--dense-units", "16", "--batch-size", "8"),
        *("--train-images", str(8 * STEPS), "--epochs", str(EPOCHS)),
        *("--output", str(output), *more),
    ]


def record(example, monkeypatch, recorder):
    original = example.build_callbacks
    monkeypatch.setattr(
        example,
        "build_callbacks",
        lambda *args: [*original(*args), recorder],
    )


@pytest.mark.slow
def test_resumed_run_goes_on_with_its_alpha_and_writes_its_files(
    example, monkeypatch, tmp_path
):
    pytest.importorskip("larq_compute_engine")
    with monkeypatch.context() as patch:
        record(example, patch, Recorder(stop_at=STEPS + 1))
        with pytest.raises(KeyboardInterrupt):
            example.main(command(tmp_path))
    assert not (tmp_path / "model.keras").exists()

    recorder = Recorder()
    record(example, monkeypatch, recorder)
    example.main(command(tmp_path, "--resume"))

    # The broken epoch is repeated: all steps from its first one on.
    total = STEPS * EPOCHS
    schedule = aqe.schedules.Linear(start=0.1)
    expected = [(s, schedule(s / total)) for s in range(STEPS, total)]
    np.testing.assert_allclose(recorder.seen, expected, rtol=1e-6)

    # The two files and the model in them agree with the reported accuracy.
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["arguments"]["resume"] is True
    x, y = example.load_cifar10(None, 8)[2]
    x = (x.astype("float32") - results["mean"]) / results["std"]
    x = x.astype("float32")
    model = keras.models.load_model(tmp_path / "model.keras")
    labels = model.predict(x, verbose=0).argmax(-1)
    assert np.mean(labels == y) == pytest.approx(
        results["test_accuracy"], abs=1e-4
    )
    interpreter = Interpreter((tmp_path / "model.tflite").read_bytes())
    np.testing.assert_array_equal(interpreter.predict(x).argmax(-1), labels)
    assert not list(tmp_path.glob("unfinished-*"))


@pytest.mark.slow
def test_other_widths_become_builtin_operators(example, tmp_path):
    example.main(
        command(tmp_path, "--input-bits", "2", "--weight-bits", "3")
        + ["--epochs", "1", "--estimator", "ste", "--schedule", "cosine"]
    )
    assert (tmp_path / "model.tflite").stat().st_size > 0


def test_augmentation_only_crops_and_flips(example):
    images = np.arange(1, 1 + 64 * 32 * 32 * 3, dtype="int32")
    images = images.reshape(64, 32, 32, 3)
    keras.utils.set_random_seed(0)
    augmented, _ = example.augment(images, np.zeros(64))
    flips = set()
    for image, result in zip(images, augmented.numpy()):
        padded = np.pad(image, ((4, 4), (4, 4), (0, 0)))
        crops = {
            (row, column, flip): padded[row : row + 32, column : column + 32][
                :, ::flip
            ]
            for row in range(9)
            for column in range(9)
            for flip in (1, -1)
        }
        matches = [
            key for key, crop in crops.items() if np.array_equal(crop, result)
        ]
        assert len(matches) == 1
        flips.add(matches[0][2])
    assert flips == {1, -1}


@pytest.mark.parametrize("count", ["7", "45001"])
def test_impossible_number_of_images_is_refused(example, count, capsys):
    with pytest.raises(SystemExit):
        example.parse(["--batch-size", "8", "--train-images", count])
    assert f"Received: {count}" in capsys.readouterr().err


def test_resume_without_a_backup_is_refused(example, tmp_path, capsys):
    with pytest.raises(SystemExit):
        example.main(command(tmp_path, "--resume"))
    assert "nothing to resume" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_datasets_can_be_downloaded(tmp_path, name):
    """All that a download imports is installed."""
    tfds = pytest.importorskip("tensorflow_datasets")
    assert tfds.builder(name, data_dir=tmp_path).url_infos
