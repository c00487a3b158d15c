"""Which layers the converter takes for what their class computes.

A layer is known by its class only as long as it overrides nothing of it, and
by its arguments only as far as they leave it that meaning. Everything else is
called as it is.
"""

import keras
import numpy as np

from keras_aqe.converters.errors import ConversionError

# What a subclass may define without computing anything else.
_MAKING = {
    "__init__",
    "build",
    "build_from_config",
    "from_config",
    "get_build_config",
    "get_config",
}
# Layers that only move, repeat or drop elements, so that codes stay codes.
SELECTIONS = (
    keras.layers.Concatenate,
    keras.layers.Cropping1D,
    keras.layers.Cropping2D,
    keras.layers.Flatten,
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
    keras.layers.Permute,
    keras.layers.RepeatVector,
    keras.layers.Reshape,
    keras.layers.UpSampling1D,
    keras.layers.UpSampling2D,
    keras.layers.ZeroPadding1D,
    keras.layers.ZeroPadding2D,
)
_MAX_POOLS = (
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
)
# Layers that move, repeat or drop elements of each channel alike.
MOVES_OF_PIXELS = (
    keras.layers.Cropping1D,
    keras.layers.Cropping2D,
    keras.layers.UpSampling1D,
    keras.layers.UpSampling2D,
)
_ZERO_PADDINGS = (keras.layers.ZeroPadding1D, keras.layers.ZeroPadding2D)
_CALLS = {"__call__", "__getattr__", "__getattribute__", "__new__"}


def is_known(operation, classes):
    """Whether an operation computes what one of some classes does."""
    return _changes(operation, classes) == set()


def require_known(layer, classes):
    """Refuses a subclass that computes something else.

    Raises:
        ConversionError: If a layer is of one of the classes, but overrides
            some of it.
    """
    changes = _changes(layer, classes)
    if changes:
        raise ConversionError(
            f"{type(layer).__name__} {layer.name!r} overrides "
            f"{', '.join(sorted(changes))}, so it computes something else "
            "than the class that the converter knows. Leave that to a layer "
            "of its own."
        )


def _changes(operation, classes):
    """What an operation overrides of its class; `None` if it has another."""
    if not isinstance(operation, classes):
        return None
    own = {"call"} & vars(operation).keys()
    for cls in type(operation).__mro__:
        if cls in classes:
            break
        own |= {
            name
            for name in vars(cls).keys() - _MAKING
            if not name.startswith("__") or name in _CALLS
        }
    return {name for name in own if hasattr(cls, name)}


def is_selection(operation):
    """Whether every element that comes out is one that goes in, or 0."""
    return is_known(operation, SELECTIONS) and (
        getattr(operation, "interpolation", "nearest") == "nearest"
    )


def is_channels_last(layer):
    """Whether a layer has its channels on the last axis."""
    return getattr(layer, "data_format", "channels_last") == "channels_last"


def moves_pixels(operation):
    """Whether a layer moves, repeats or drops all channels of a pixel alike."""
    return (
        is_known(operation, MOVES_OF_PIXELS)
        and is_channels_last(operation)
        and is_selection(operation)
    )


def is_flatten(operation):
    """Whether an operation is a flatten that leaves the elements' order."""
    return is_known(operation, (keras.layers.Flatten,)) and (
        is_channels_last(operation)
    )


def is_function(operation, names):
    """Whether an operation is what a function of `keras.ops` became.

    Args:
        operation: A Keras layer or operation.
        names: Names that classes of such operations have.
    """
    return (
        type(operation).__module__.startswith("keras.src.ops")
        and type(operation).__name__ in names
    )


def is_addition(operation):
    """Whether an operation adds its arguments up, one after the other."""
    return is_known(operation, (keras.layers.Add,)) or is_function(
        operation, ("Add",)
    )


def is_concatenation(operation, rank):
    """Whether an operation puts tensors of a rank together by their last axis.

    All of them are arguments of one list.
    """
    return (
        is_known(operation, (keras.layers.Concatenate,))
        or is_function(operation, ("Concatenate",))
    ) and operation.axis in (-1, rank - 1)


def padding(operation, args, kwargs):
    """How an operation puts a number around its first argument.

    Args:
        operation: A Keras layer or operation.
        args, kwargs: What it is called with.

    Returns:
        Rows, columns and others added, a pair for each axis, and the number.
        `None` of an operation that does anything else.
    """
    if is_known(operation, _ZERO_PADDINGS):
        pads = np.reshape(operation.padding, (-1, 2)).tolist()
        around = [(0, 0)] if is_channels_last(operation) else []
        first = [(0, 0)] * (len(args[0].shape) - len(pads) - len(around))
        return (*first, *map(tuple, pads), *around), 0.0
    if not is_function(operation, ("Pad",)) or operation.mode != "constant":
        return None
    number = args[1] if len(args) > 1 else kwargs.get("constant_values")
    if not isinstance(number, (int, float, type(None))):
        return None
    pads = operation.pad_width
    if len(pads) == 1:
        pads = pads * len(args[0].shape)
    return tuple(map(tuple, pads)), float(number or 0)


def is_reshape(operation):
    """Whether an operation gives a shape and leaves the elements' order."""
    return is_flatten(operation) or is_known(operation, (keras.layers.Reshape,))


def is_max_pool(operation, classes=_MAX_POOLS):
    """Whether an operation is a max pool that takes each channel alone."""
    return is_known(operation, classes) and is_channels_last(operation)
