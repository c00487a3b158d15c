"""XNOR and SHIFT kernels for packed files, as a delegate for LiteRT."""

from keras_aqe_runtime import (
    describe,
    environment,
    kernels,
    library_path,
    load_delegate,
    profile,
)

__all__ = [
    "describe",
    "environment",
    "kernels",
    "library_path",
    "load_delegate",
    "profile",
]
