"""8-bit images and the normalisation that stands in a model.

Sums of floats depend on their order, which differs between processors. Those
of whole numbers do not, and pixels are whole numbers: `x / 127.5 - 1` is
`(2 * x - 255) / 255`.
"""

import keras
import numpy as np
import tensorflow as tf

from keras_aqe.converters.errors import ConversionError
from keras_aqe.converters.graph.known import is_function, is_known
from keras_aqe.converters.graph.nodes import Apply, Cast, Input, Node, Pixels

_PREPROCESSING = (keras.layers.Normalization, keras.layers.Rescaling)
_ARITHMETIC = ("Add", "Cast", "Divide", "Multiply", "Subtract", "TrueDivide")
_DTYPES = ("int8", "uint8")
# The largest multiple of a pixel that is looked for.
_LARGEST_SCALE = 16


def with_uint8_input(model, normalisation):
    """A model on uint8 images, from one on normalised ones.

    Args:
        model: A built Functional or Sequential model of one input.
        normalisation: A `Rescaling` or `Normalization`, or a list of them.

    Raises:
        ConversionError: If the model has several inputs.
        ValueError: If `normalisation` is something else.
    """
    if not isinstance(normalisation, (list, tuple)):
        normalisation = [normalisation]
    for layer in normalisation:
        if not isinstance(layer, keras.layers.Layer) or (
            not is_known(layer, _PREPROCESSING)
        ):
            raise ValueError(
                "`image` must be a `keras.layers.Rescaling`, a "
                "`keras.layers.Normalization` or a list of such layers. "
                f"Received: {layer!r}"
            )
    if len(model.inputs) != 1:
        raise ConversionError(
            f"Model {model.name!r} has {len(model.inputs)} inputs, and `image` "
            "is for models of one. Put the normalisation into the model: "
            "`keras.Input(shape, dtype='uint8')` and the layers after it."
        )
    x = image = keras.Input(
        model.inputs[0].shape[1:], dtype="uint8", name=model.inputs[0].name
    )
    for layer in normalisation:
        x = layer(x)
    return keras.Model(image, model(x), name=model.name)


def is_preprocessing(operation, sources):
    """Whether an operation scales and shifts each element of its one source.

    Args:
        operation: A Keras layer, or what an operator such as `/` became.
        sources: The nodes among its arguments.
    """
    if is_known(operation, _PREPROCESSING):
        return True
    return len(sources) == 1 and is_function(operation, _ARITHMETIC)


def cast(node):
    """A node, or the `Pixels` that it is, if pixels only became floats."""
    if not isinstance(node, Cast) or not isinstance(node.source, Input):
        return node
    source = keras.KerasTensor(node.shape, node.source.dtype)
    operation = keras.ops.cast(source, node.dtype)._keras_history.operation
    return (
        find(
            Apply(
                node.name,
                node.shape,
                dtype=node.dtype,
                is_image=True,
                mask=node.mask,
                operation=operation,
                args=(node.source,),
            )
        )
        or node
    )


def find(node):
    """The `Pixels` that an `Apply` is, or `None`.

    Args:
        node: An `Apply` of what `is_preprocessing`.
    """
    (source,) = node.sources()
    if isinstance(source, Pixels):
        pixels, values = source.pixels, source.table
    elif isinstance(source, Input) and source.dtype in _DTYPES:
        limits = np.iinfo(source.dtype)
        pixels = source
        values = np.arange(limits.min, limits.max + 1, dtype=source.dtype)
        values = np.repeat(values[:, None], source.shape[-1], axis=1)
    else:
        return None
    table = _table(node, values)
    fitted = None if table is None else _fit(table, np.iinfo(pixels.dtype).min)
    if fitted is None:
        return None
    unit, scale, offset, is_whole = fitted
    found = Pixels(
        node.name,
        node.shape,
        unit=unit,
        is_image=True,
        dtype=node.dtype,
        mask=node.mask,
        operation=node.operation,
        args=node.args,
        kwargs=node.kwargs,
        pixels=pixels,
        table=table,
        scale=scale,
        offset=offset,
    )
    if is_whole:
        found.bits = 8
        steps = np.arange(256)[:, None] + np.iinfo(pixels.dtype).min
        found.levels = np.unique(steps * scale + offset).astype("int64")
    return found


def _table(node, values):
    """What Keras makes of each pixel value, or `None` if places differ."""
    count, channels = values.shape
    shape = (count, *[1] * (len(node.shape) - 2), channels)
    with tf.init_scope():
        args, kwargs = keras.tree.map_structure(
            lambda value: (
                tf.reshape(values, shape) if isinstance(value, Node) else value
            ),
            (node.args, node.kwargs),
        )
        table = np.asarray(node.operation(*args, **kwargs))
    if table.dtype != "float32" or table.shape != shape:
        return None
    return table.reshape(count, channels)


def _fit(table, first):
    """Unit, scale and offset of a table; `None` if it is no straight line.

    Args:
        table: As in `Pixels`.
        first: The pixel of its first row.

    Returns:
        The numbers, and whether scale and offset are whole.
    """
    table = table.astype("float64")
    pixels = np.arange(256.0)[:, None] + first
    # What a few roundings of float32 can do.
    tolerance = 2.0**-21 * np.abs(table).max()
    slope = (table[-1] - table[0]) / 255
    shift = table[0] - slope * first
    if np.abs(pixels * slope + shift - table).max() > tolerance:
        return None
    smallest = np.abs(slope[slope != 0]).min(initial=np.inf)
    for multiple in range(1, _LARGEST_SCALE + 1):
        for unit in _units(smallest / multiple):
            scale, offset = np.rint(slope / unit), np.rint(shift / unit)
            found = unit * (pixels * scale + offset)
            if np.abs(found - table).max() <= tolerance:
                return (
                    unit,
                    scale.astype("float32"),
                    offset.astype("float32"),
                    True,
                )
    return (1.0, *_nearest_line(table, pixels, slope), False)


def _units(unit):
    """A number, after the whole one or the whole fraction nearest to it."""
    if 0 < unit < np.inf:
        yield np.rint(unit) if unit >= 1 else 1 / np.rint(1 / unit)
        yield unit


def _nearest_line(table, pixels, slope):
    """Scale and offset in float32 whose rounded results are the nearest."""
    slope = slope.astype("float32")
    # The layer's own number may be a neighbour of the quotient.
    scales = (
        slope + np.spacing(slope) * np.arange(-2, 3, dtype="float32")[:, None]
    )
    offset = (table[0] - pixels[0] * slope).astype("float32")
    pixels = pixels.astype("float32")
    errors = np.abs(pixels * scales[:, None] + offset - table).max(axis=1)
    best = errors.argmin(axis=0)
    return scales[best, np.arange(len(slope))], offset
