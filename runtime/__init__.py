"""Runs packed files in LiteRT, without TensorFlow."""

from keras_aqe_runtime.errors import ConversionError
from keras_aqe_runtime.library import (
    describe,
    environment,
    kernels,
    library_path,
    load_delegate,
    profile,
)

__version__ = "0.1.0"

__all__ = [
    "ConversionError",
    "Interpreter",
    "describe",
    "environment",
    "kernels",
    "library_path",
    "load_delegate",
    "profile",
]


def __getattr__(name):
    if name != "Interpreter":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # What parses files takes a while to import, and needs LiteRT, without
    # which keras-aqe trains.
    from keras_aqe_runtime.interpreter import Interpreter

    return Interpreter
