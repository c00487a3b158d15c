"""The installed package: metadata, extras, and the README's example."""

import importlib
import pathlib
import re
from importlib import metadata

import keras
import numpy as np
import pytest

import keras_aqe

ROOT = pathlib.Path(__file__).parents[1]


def test_version_is_that_of_the_metadata():
    version = metadata.version("keras-aqe")
    assert keras_aqe.__version__ == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text()
    cmake = (ROOT / "runtime" / "CMakeLists.txt").read_text()
    assert f"project(keras_aqe VERSION {version} " in cmake


def test_extras():
    extras = metadata.metadata("keras-aqe").get_all("Provides-Extra")
    assert {"lce", "jax", "torch", "plots", "examples", "dev"} <= set(extras)


@pytest.mark.parametrize(
    "part", ["layers", "models", "converters", "runtime", "pretrained"]
)
def test_packages_import(part):
    importlib.import_module(f"keras_aqe.{part}")


@pytest.mark.slow
def test_readme_example_runs(monkeypatch, tmp_path, few_weights, eager):
    pytest.importorskip("larq_compute_engine")
    (example,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (4, 32, 32, 3)).astype("uint8")
    labels = generator.integers(0, 10, (4, 1))
    monkeypatch.setattr(
        keras.datasets.cifar10, "load_data", lambda: [(images, labels)] * 2
    )
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(example, names)
    assert names["logits"].shape == (4, 10)
    assert (tmp_path / "model.tflite").stat().st_size > 0
