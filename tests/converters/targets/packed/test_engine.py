"""What the engine of packed files says where the runtime was not built."""

import pytest

from keras_aqe.converters.errors import EngineMissingError
from keras_aqe.converters.targets.packed.engine import engine


def test_says_that_the_runtime_is_missing(monkeypatch):
    def missing(num_threads):
        raise RuntimeError("The native runtime is not there.")

    monkeypatch.setattr("keras_aqe.runtime.load_delegate", missing)
    with pytest.raises(EngineMissingError, match="packed file.*not there"):
        engine(b"", 1)
