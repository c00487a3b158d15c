"""A published network is small and that of its line of results."""

import dataclasses
import json
import pathlib
import shutil
import types
import zipfile

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from examples import export_pretrained
from examples.reproduce import runs

RESULTS = pathlib.Path(__file__).parents[2] / "docs" / "results"


def trained(bits):
    """A network whose alpha is 1 and whose latent weights are anything."""
    keras.utils.set_random_seed(bits)
    model = aqe.models.MINWNet("D", bits, bits, filters=4, dense_units=8)
    rng = np.random.default_rng(bits)
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            layer.kernel.assign(rng.normal(0, 0.1, layer.kernel.shape))
    for quantizer in aqe.callbacks.find(model):
        quantizer.alpha.assign(1.0)
    return model


def codes(model):
    return [
        layer.kernel_quantizer.codes(layer.kernel).numpy()
        for layer in model.layers
        if hasattr(layer, "kernel")
    ]


@pytest.mark.slow
@pytest.mark.parametrize("bits", [1, 2, 3])
def test_gathered_weights_have_the_same_codes(bits):
    model = trained(bits)
    expected = codes(model)
    export_pretrained.gather_weights(model)
    for found, code in zip(codes(model), expected, strict=True):
        np.testing.assert_array_equal(found, code)
    kernel = model.get_layer("conv3").kernel.numpy()
    # Zeros are of either sign.
    assert len(np.unique(kernel)) == 2**bits


@pytest.mark.program
@pytest.mark.parametrize("published", [False, True])
def test_export(tmp_path, monkeypatch, eager, published):
    group = export_pretrained.GROUPS[-1]
    model = trained(3)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(20, 32, 32, 3)).astype("float32")
    logits = model.predict(images, verbose=0)
    record = {"run": {"bits": [3, 3]}, "id": "abc", "test_accuracy": 1.0}
    monkeypatch.setattr(export_pretrained, "FOLDER", tmp_path)
    path = tmp_path / "runs" / "abc" / "model.keras"
    if published:
        path = tmp_path / "minw-d24-cifar10-3-3.keras"
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    size = path.stat().st_size

    labels = logits.argmax(-1)
    export_pretrained.export(group, record, tmp_path, images, labels)
    small = tmp_path / "minw-d24-cifar10-3-3.keras"
    assert small.stat().st_size < size
    assert small.with_suffix(".tflite").exists()
    # Older releases of Keras do not know all arguments.
    with zipfile.ZipFile(small) as archive:
        config = json.loads(archive.read("config.json"))
    assert config == export_pretrained.without_defaults(config)
    loaded = keras.models.load_model(small)
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), logits)

    with pytest.raises(ValueError, match="run abc, 1.0. Received: 0.0"):
        export_pretrained.export(
            group, record, tmp_path, images, (labels + 1) % 10
        )


def test_best_of_the_runs_of_a_width_of_the_plan(monkeypatch):
    config = {
        "run": {},
        "scale": {"small": {}},
        "row": [
            {"label": "1/1", "bits": [[1, 1]]},
            {"label": "2/2", "bits": [[2, 2]], "estimator": "ste"},
        ],
        "column": [{"label": "D"}],
    }
    monkeypatch.setattr(runs, "load", lambda name: config)
    group = export_pretrained.GROUPS[0]
    group = dataclasses.replace(group, scale="small")
    records = [
        {"run": run, "validation_accuracy": accuracy}
        for run, accuracy in [
            ({"bits": [1, 1]}, 0.5),
            ({"bits": [1, 1], "seed": 1}, 0.6),
            ({"bits": [1, 1], "estimator": "ste"}, 0.9),
            ({"bits": [2, 2], "estimator": "ste"}, 0.7),
            ({"bits": [3, 3]}, 0.8),
        ]
    ]
    assert export_pretrained.best(group, records, [1, 1]) is records[1]
    assert export_pretrained.best(group, records, [2, 2]) is records[3]
    assert export_pretrained.best(group, records, [3, 3]) is None


@pytest.mark.parametrize(
    "layer", [keras.layers.Rescaling(2.0), keras.layers.Dense(3)]
)
def test_layers_without_their_defaults_load(layer, tmp_path):
    model = keras.Sequential([keras.Input((2,)), layer])
    export_pretrained.save_compressed(model, tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = np.ones((1, 2), "float32")
    np.testing.assert_array_equal(loaded(x), model(x))


def test_only_the_named_networks_are_written(tmp_path, monkeypatch):
    exported = []

    def export(group, record, *arguments):
        exported.append(group.name(record["run"]["bits"]))

    rng = np.random.default_rng(0)
    part = rng.integers(0, 256, (4, 32, 32, 3), "uint8"), np.zeros(4, "int32")
    splits = types.SimpleNamespace(splits=lambda: [part] * 3)
    monkeypatch.setattr(export_pretrained, "export", export)
    monkeypatch.setattr(export_pretrained.images, "read", lambda file: splits)
    monkeypatch.setattr(
        export_pretrained.datasets, "load_cifar10", lambda *_: [part] * 3
    )
    folder = tmp_path / "pretrained"
    shutil.copytree(export_pretrained.FOLDER, folder)
    committed = (folder / "README.md").read_text()
    monkeypatch.setattr(export_pretrained, "FOLDER", folder)
    command = ["--results", str(RESULTS), "--images", "cifar10.npz"]
    name = "minw-d-cifar10-2-2"
    export_pretrained.main([*command, "--only", name])
    assert exported == [name]
    card = (folder / "README.md").read_text()
    rows = [line for line in card.splitlines() if line.startswith("| `")]
    assert rows == [
        line for line in committed.splitlines() if line.startswith("| `")
    ]


@pytest.mark.parametrize("name", ["minw-d-cifar10", "resnet20-cifar10-2-2"])
def test_only_networks_with_a_run_can_be_written(name, tmp_path, capsys):
    shutil.copytree(RESULTS / "recipe", tmp_path / "recipe")
    command = ["--results", str(tmp_path), "--images", "cifar10.npz"]
    with pytest.raises(SystemExit):
        export_pretrained.main([*command, "--only", name])
    errors = capsys.readouterr().err
    assert "minw-d-cifar10-1-1" in errors
    assert f"Received: ['{name}']" in errors
