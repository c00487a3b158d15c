"""Keras pooling layers as windows over rows and columns."""

import keras

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


def is_max(layer):
    """Whether a layer takes the greatest of each window."""
    return isinstance(layer, (*_MAX, *_GLOBAL_MAX)) and _channels_last(layer)


def is_average(layer):
    """Whether a layer takes the mean of each window."""
    return isinstance(layer, (*_AVERAGE, *_GLOBAL_AVERAGE)) and (
        _channels_last(layer)
    )


def window(layer, shape):
    """The window of a pooling layer.

    Args:
        layer: A layer that `is_max` or `is_average`.
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


def _channels_last(layer):
    return layer.data_format == "channels_last"
