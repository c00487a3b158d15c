"""The one way into a file, wherever it comes from."""

import contextlib
import dataclasses
import os
from typing import Protocol

from keras_aqe_runtime.errors import ConversionError
from keras_aqe_runtime.file import flatbuffer, metadata


class Converted(Protocol):
    """What `keras_aqe.converters.convert` returns, as far as it counts here."""

    @property
    def flatbuffer(self) -> bytes: ...


@dataclasses.dataclass(frozen=True)
class File:
    """A .tflite file.

    Args:
        data: Its bytes.
        model: The same, parsed by `flatbuffer.read`.
        description: What `metadata` holds of it, `None` if it is from
            elsewhere.
    """

    data: bytes
    model: object
    description: dict | None


def load(file):
    """Reads a .tflite file and checks it against its digest.

    Args:
        file: A path, what `keras_aqe.converters.convert` returned, bytes, or
            a `File`, which is not read again.

    Returns:
        A `File`.

    Raises:
        ConversionError: If it is no .tflite file, or a damaged one.
        OSError: If the path cannot be read.
        TypeError: If `file` is none of these.
    """
    if isinstance(file, File):
        return file
    data = _contents(file)
    with naming(file):
        model = flatbuffer.read(data)
        return File(data, model, metadata.find(model))


@contextlib.contextmanager
def naming(file):
    """Adds to the errors of a file its path, if it came by one."""
    try:
        yield
    except ConversionError as error:
        if isinstance(file, (str, os.PathLike)):
            error.add_note(f"The file is {os.fspath(file)!r}.")
        raise


def _contents(file):
    if isinstance(file, (str, os.PathLike)):
        with open(file, "rb") as opened:
            return opened.read()
    data = getattr(file, "flatbuffer", file)
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(
        "A file is a path, bytes, or what `keras_aqe.converters.convert` "
        f"returned. Received: {file!r} of type {type(file).__name__}"
    )
