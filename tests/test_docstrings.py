"""The examples in docstrings run and print what they say."""

import doctest
import importlib
import inspect
import pkgutil
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_aqe as aqe
import keras_aqe_runtime
from keras_aqe import converters, runtime

# These run, import what may not be installed, or are no Python.
OTHERS = ("__main__", "backend.jax", "backend.torch", "libkeras_aqe_delegate")
MODULES = [
    module.name
    for package in (aqe, keras_aqe_runtime)
    for module in pkgutil.walk_packages(
        package.__path__, f"{package.__name__}."
    )
    if not module.name.endswith(OTHERS)
]
# Examples that write files, draw, or print tables are programs of their own.
PROGRAMS = {
    f"{item.__module__}.{item.__qualname__}": program
    for module in (aqe.models, aqe.plots, converters, keras_aqe_runtime)
    for item in (getattr(module, name) for name in module.__all__)
    for program in re.findall(
        r"```python\n(.*?)```", inspect.getdoc(item), re.DOTALL
    )
}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    globs = {"aqe": aqe, "keras": keras, "np": np, "tf": tf, **vars(module)}
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    result = doctest.testmod(module, globs=globs, optionflags=flags)
    assert result.failed == 0


@pytest.mark.program
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name, tmp_path, monkeypatch):
    if ".plots." in name:
        pytest.importorskip("matplotlib").use("Agg")
    if "_runtime." in name or "convert" in name:
        try:
            runtime.library_path()
        except RuntimeError as error:
            pytest.skip(str(error))
    monkeypatch.chdir(tmp_path)
    exec(PROGRAMS[name], {})
