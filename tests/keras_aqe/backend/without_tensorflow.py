"""What holds where TensorFlow is not installed; run by `children.run_core`."""

import sys

import pytest

from keras_aqe import converters


def test_importing_imports_no_tensorflow():
    assert "tensorflow" not in sys.modules


def test_converters_say_that_tensorflow_is_missing():
    with pytest.raises(converters.ConversionError, match="needs"):
        converters.convert("a model")
