"""Keras pooling layers as windows over rows and columns."""

import keras
import numpy as np

from keras_aqe.converters.graph.known import is_channels_last, is_known
from keras_aqe.converters.targets.packed import limits

_MAX = (keras.layers.MaxPooling1D, keras.layers.MaxPooling2D)
_AVERAGE = (keras.layers.AveragePooling1D, keras.layers.AveragePooling2D)
_GLOBAL_MAX = (
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalMaxPooling2D,
)
_GLOBAL_AVERAGE = (
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
)


def is_max(layer, shape):
    """Whether the format can take the greatest of each window for a layer.

    Args:
        layer: A layer or function.
        shape: Shape of its input.
    """
    return is_known(layer, (*_MAX, *_GLOBAL_MAX)) and _fits(layer, shape)


def is_average(layer, shape, levels):
    """Whether the format can take the mean of each window for a layer.

    Args:
        layer: A layer or function.
        shape: Shape of its input.
        levels: The codes of the format that its input may have.
    """
    if not is_known(layer, (*_AVERAGE, *_GLOBAL_AVERAGE)) or (
        not _fits(layer, shape)
    ):
        return False
    size, *_ = window(layer, shape)
    return limits.of_sum(int(np.prod(size, dtype="int64")), levels) is None


def _fits(layer, shape):
    if not is_channels_last(layer):
        return False
    rows_and_columns = [1, *shape[1:-1]][-2:]
    size, strides, _ = window(layer, shape)
    return limits.of_window(rows_and_columns, size, strides) is None


def window(layer, shape):
    """The window of a pooling layer.

    Args:
        layer: A layer that pools, channels last.
        shape: Shape of its input, channels last.

    Returns:
        Its size, its strides (each for rows and columns; sequences have one
        row) and `"valid"` or `"same"`.
    """
    if isinstance(layer, (*_GLOBAL_MAX, *_GLOBAL_AVERAGE)):
        size, strides, padding = shape[1:-1], shape[1:-1], "valid"
    else:
        size, strides = layer.pool_size, layer.strides
        padding = layer.padding
    row = (1,) * (2 - len(size))
    return (*row, *size), (*row, *strides), padding


def pooled(size, window):
    """Rows and columns behind a window, from those before it."""
    extents, strides, padding = window
    if padding == "same":
        return tuple(-(-n // stride) for n, stride in zip(size, strides))
    return tuple(
        (n - extent) // stride + 1
        for n, extent, stride in zip(size, extents, strides)
    )
