"""The one way into a file, wherever it comes from."""

import pytest

from keras_aqe.converters import (
    Interpreter,
    report,
    verify,
)
from tests.converters.two_inputs import FITTING, two_inputs


def test_a_file_may_come_as_anything(converted, tmp_path):
    path = tmp_path / "model.tflite"
    converted.save(path)
    data = converted.flatbuffer
    model = two_inputs()
    for file in (
        *(path, str(path), converted),
        *(data, bytearray(data), memoryview(data)),
    ):
        Interpreter(file).predict(FITTING)
        assert report(file) == converted.report
        verify(model, file, FITTING)
    for read in (
        Interpreter,
        report,
        lambda file: verify(model, file, FITTING),
    ):
        with pytest.raises(TypeError, match="path, bytes.*Received: None"):
            read(None)
        for missing in (tmp_path / "none", str(tmp_path / "none")):
            with pytest.raises(FileNotFoundError, match="none"):
                read(missing)
