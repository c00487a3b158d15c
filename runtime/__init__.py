"""XNOR and SHIFT kernels for packed files, as a delegate for LiteRT."""

from keras_aqe.runtime.library import (
    describe,
    environment,
    library_path,
    load_delegate,
)

__all__ = ["describe", "environment", "library_path", "load_delegate"]
