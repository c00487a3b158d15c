"""What engines refuse."""

import numpy as np
import pytest

from keras_aqe.converters import ConversionError
from keras_aqe_runtime.engines import LiteRT, Packed
from keras_aqe_runtime.errors import EngineMissingError
from keras_aqe_runtime.load import File, load
from tests.runtime.networks import small_network


def test_refusals_are_conversion_errors():
    with pytest.raises(ConversionError, match="LiteRT refuses the file"):
        LiteRT(File(b"no file", None, None), num_threads=1)


@pytest.mark.parametrize("minw_file", ["tflite"], indirect=True)
def test_a_refused_size_does_not_spoil_the_next_run(minw_file):
    engine = LiteRT(load(minw_file), num_threads=1)
    with pytest.raises(ConversionError, match="LiteRT refuses the file"):
        engine.predict([np.zeros((1, 3, 3, 3), "float32")])
    (logits,) = engine.predict([np.zeros((2, 32, 32, 3), "float32")])
    assert logits.shape == (2, 10)


def test_says_that_the_runtime_is_missing(monkeypatch):
    def missing(num_threads, profile):
        raise RuntimeError("The native runtime is not there.")

    monkeypatch.setattr("keras_aqe_runtime.library.load_delegate", missing)
    with pytest.raises(EngineMissingError, match="packed file.*not there"):
        Packed(File(b"", None, None), 1)


@pytest.mark.parametrize("minw_file", ["tflite"], indirect=True)
def test_xnnpack_has_threads_where_it_has_products(minw_file, monkeypatch):
    from ai_edge_litert import interpreter

    given = []

    class Recorded(interpreter.Interpreter):
        def __init__(self, num_threads, **kwargs):
            given.append(num_threads)
            super().__init__(num_threads=num_threads, **kwargs)

    monkeypatch.setattr(interpreter, "Interpreter", Recorded)
    file, source, target = small_network(2, 2)
    Packed(load(file.write([source], [target])), 2)
    Packed(load(minw_file), 2)
    assert given == [1, 2]
