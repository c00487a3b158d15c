"""What the errors of files are."""

import pytest

from keras_aqe import converters
from keras_aqe_runtime import ConversionError, errors


def test_there_is_one_error_for_users_of_either_package():
    assert converters.ConversionError is ConversionError
    assert issubclass(ConversionError, ValueError)
    assert ConversionError("text").layer is None
    assert ConversionError("text", "conv").layer == "conv"


@pytest.mark.parametrize("kind", ["DamagedError", "EngineMissingError"])
def test_errors_of_files_are_conversion_errors(kind):
    error = getattr(errors, kind)("a fault")
    assert isinstance(error, ConversionError)
    assert "a fault" in str(error)
