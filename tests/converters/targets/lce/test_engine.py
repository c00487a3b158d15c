"""What the engine of LCE files says where it cannot run."""

import pytest

from keras_aqe import models
from keras_aqe.converters import ConversionError, Interpreter, convert
from keras_aqe.converters.targets.lce import engine


@pytest.fixture(scope="module")
def file():
    return convert(models.MINWNet(filters=4, dense_units=8), "lce").flatbuffer


@pytest.mark.slow
def test_names_the_extra_when_lce_is_missing(monkeypatch, file):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConversionError, match=r"keras-aqe\[lce\]"):
        Interpreter(file)


def test_names_the_numpy_that_lce_needs(monkeypatch, file):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: engine)
    monkeypatch.setattr(engine, "_numpy_major", 2)
    with pytest.raises(ConversionError, match="NumPy below 2"):
        Interpreter(file)
