"""The one way into a file, wherever it comes from."""

import pytest

from keras_aqe.converters import (
    ConversionError,
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


def test_errors_say_which_file_it_is(converted, tmp_path):
    data = converted.flatbuffer
    path = tmp_path / "odd.tflite"
    for damaged in (b"no file", data[: len(data) // 2], data[:8] + data[40:]):
        path.write_bytes(damaged)
        for file in (path, str(path), damaged):
            with pytest.raises(ConversionError) as error:
                Interpreter(file)
            notes = getattr(error.value, "__notes__", [])
            named = [] if file is damaged else [f"The file is {str(path)!r}."]
            assert notes == named
