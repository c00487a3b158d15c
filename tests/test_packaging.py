"""The installed package: metadata, extras, parts."""

import importlib
import pathlib
from importlib import metadata

import pytest

import keras_aqe
import keras_aqe_runtime

ROOT = pathlib.Path(__file__).parents[1]


def test_version_is_that_of_the_metadata():
    version = metadata.version("keras-aqe")
    assert keras_aqe.__version__ == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text()
    pinned = f"\n    keras-aqe-runtime == {version}\n"
    assert pinned in (ROOT / "setup.cfg").read_text()
    # Of keras-aqe-runtime, too.
    assert keras_aqe_runtime.__version__ == version
    cmake = (ROOT / "runtime" / "CMakeLists.txt").read_text()
    assert f"project(keras_aqe VERSION {version} " in cmake


def test_extras():
    extras = metadata.metadata("keras-aqe").get_all("Provides-Extra")
    assert {
        *("lce", "jax", "torch", "plots", "examples", "docs", "tests", "dev")
    } <= set(extras)


@pytest.mark.parametrize(
    "part", ["layers", "models", "converters", "runtime", "pretrained"]
)
def test_packages_import(part):
    importlib.import_module(f"keras_aqe.{part}")


def test_the_runtime_of_another_version_is_refused(monkeypatch):
    converters = importlib.import_module("keras_aqe.converters")
    monkeypatch.setattr(keras_aqe_runtime, "__version__", "0.0.9")
    message = "needs keras-aqe-runtime of the same version, but 0.0.9 .*"
    with pytest.raises(ImportError, match=message + keras_aqe.__version__):
        importlib.reload(converters)
