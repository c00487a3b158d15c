"""The examples in docstrings run and print what they say."""

import doctest
import importlib
import pkgutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_aqe as aqe

MODULES = [
    module.name
    for module in pkgutil.walk_packages(aqe.__path__, "keras_aqe.")
    if not module.name.startswith(("keras_aqe.converters", "keras_aqe.runtime"))
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    globs = {"aqe": aqe, "keras": keras, "np": np, "tf": tf, **vars(module)}
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    result = doctest.testmod(module, globs=globs, optionflags=flags)
    assert result.failed == 0
