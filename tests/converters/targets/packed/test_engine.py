"""What the engine of packed files says where the runtime was not built."""

import pytest

from keras_aqe.converters.errors import EngineMissingError
from keras_aqe.converters.targets.packed.engine import Packed


def test_says_that_the_runtime_is_missing(monkeypatch):
    def missing(num_threads, profile):
        raise RuntimeError("The native runtime is not there.")

    monkeypatch.setattr("keras_aqe.runtime.load_delegate", missing)
    with pytest.raises(EngineMissingError, match="packed file.*not there"):
        Packed(b"", 1)
