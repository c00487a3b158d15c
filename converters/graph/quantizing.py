"""Quantizers of activations: which are understood, and integers in front."""

import numpy as np

from keras_aqe import quantizers
from keras_aqe.converters.errors import ConversionError
from keras_aqe.converters.graph import calls
from keras_aqe.converters.graph.known import is_known
from keras_aqe.converters.graph.nodes import Apply

_KNOWN = (
    quantizers.Binary,
    quantizers.FixedPoint,
    quantizers.Float16,
    quantizers.PowerOfTwo,
    quantizers.Ternary,
)


def is_understood(quantizer):
    """Whether a quantizer computes what its class, one of ours, does.

    Then `hard` is `codes` times `unit`, takes each number alone unless it is
    relative, never falls and depends on the configuration alone.
    """
    return is_known(quantizer, _KNOWN)


def check(quantizer, layer):
    """Checks that a quantizer of activations can be written as thresholds.

    Args:
        quantizer: The quantizer.
        layer: Name of the layer that has it.

    Raises:
        ConversionError: If it looks at more than one number at a time, or
            falls, or returns what is none of its levels.
    """
    if getattr(quantizer, "relative", False):
        raise ConversionError(
            f"Layer {layer!r} quantizes its input with relative=True, so the "
            "codes of one input depend on the others of its batch. Give the "
            "quantizer fixed thresholds: `relative=False`."
        )
    if is_understood(quantizer):
        return
    halves = np.arange(2**16, dtype="uint16").view("float16")
    x = np.sort(halves[np.isfinite(halves)]).astype("float32")
    y = np.asarray(quantizer(x[:, None], training=False))[:, 0]
    alone = np.asarray(quantizer(x[None, ::-1], training=False))[0, ::-1]
    if not (
        np.array_equal(y, alone)
        and (np.diff(y) >= 0).all()
        and np.isin(y, quantizer.levels).all()
    ):
        raise ConversionError(
            f"Layer {layer!r} has a quantizer of type "
            f"{type(quantizer).__name__} that cannot be written as thresholds: "
            "it must take each number alone, never fall and return nothing "
            "but its `levels`."
        )


def distinct(codes):
    """The values in an array of whole numbers, as from `np.unique`.

    Large arrays are compared with each number between their ends, or counted
    if these lie apart, which is far faster than sorting them; their numbers
    have to lie close together.
    """
    codes = np.asarray(codes)
    if codes.size < 2**12:
        return np.unique(codes)
    lowest, highest = int(codes.min()), int(codes.max())
    if highest - lowest < 2**4:
        between = range(lowest, highest + 1)
        return np.array([n for n in between if (codes == n).any()])
    counts = np.bincount((codes.ravel() - lowest).astype("int64"))
    return np.flatnonzero(counts) + lowest


def stand_in(quantizer):
    """A quantizer of the same width that can be written as thresholds."""
    if quantizer.bits == 1:
        return quantizers.Binary()
    if quantizer.bits in range(2, 5):
        return quantizers.PowerOfTwo(quantizer.bits)
    return quantizers.FixedPoint(min(quantizer.bits, 16))


def as_floats(source, quantizer, name):
    """What a quantizer makes of numbers that are not float32.

    It computes in their type, in which a half is 0 for instance, so it is
    called as it is. Its values then are floats whose codes are to be found.

    Args:
        source: The node of the numbers.
        quantizer: The quantizer.
        name: Name of the layer.

    Returns:
        A node of float32, and a quantizer that gives its codes.
    """
    if not is_understood(quantizer) or source.dtype == "bool":
        raise ConversionError(
            f"Layer {name!r} quantizes {source.dtype}. Put "
            "`keras.layers.Rescaling(1.0)` in front, which makes floats."
        )
    if is_known(quantizer, (quantizers.Float16,)):
        # int16 has no room for what its largest numbers are rounded to.
        if source.dtype in {*calls.INTEGERS, "float64"} - {"int16"}:
            return calls.cast(source, "float32"), quantizer
    if source.dtype in ("int8", "int16") and _holds(source.dtype, quantizer):
        # Interpreters do not compute in these.
        source = calls.cast(source, "int32")
    values = Apply(
        name,
        source.shape,
        dtype=source.dtype,
        operation=quantizer.hard,
        args=(source,),
        mask=source.mask,
    )
    if is_known(quantizer, (quantizers.PowerOfTwo, quantizers.Ternary)):
        # Levels may lie on the wrong side of thresholds of its own.
        quantizer = quantizers.PowerOfTwo(quantizer.bits, scale=quantizer.scale)
    return calls.cast(values, "float32"), quantizer


def _holds(dtype, quantizer):
    """Whether a type holds the thresholds of a quantizer."""
    thresholds = getattr(quantizer, "thresholds", None) or (0,)
    return max(thresholds) * quantizer.scale <= np.iinfo(dtype).max
