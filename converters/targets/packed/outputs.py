"""Output stages: what an operator makes of its sums or floats."""

import numpy as np

from keras_aqe.converters.graph import folding
from keras_aqe.converters.graph import nodes as g
from keras_aqe.converters.graph.known import is_known
from keras_aqe.converters.targets.packed import forms, packing, pooling
from keras_aqe.converters.targets.packed import operators as ops
from keras_aqe.quantizers import FixedPoint


def scaling(unit, bias, norm, factor):
    """Scale, bias and offset for a layer, batch normalisation and a factor."""
    if norm is None:
        bias = np.float32(0 if bias is None else bias)
        return unit * factor, bias * factor, None
    # The sum with the layer's bias is rounded before it is scaled.
    offset = None if bias is None else np.float32(bias) / unit
    scale, bias = folding.scale_and_bias(norm)
    return unit * scale * factor, bias * factor, offset


def of_floats(node, chain):
    """An output stage of a quantizer's codes, from floats before a chain.

    Args:
        node: A `nodes.Quantize`, or the `nodes.Shift` of one.
        chain: The layers in between.

    Returns:
        The stage; `None` if there is none for these codes.
    """
    if isinstance(node, g.Shift):
        if forms.is_compared(node.source):
            return None
        return shifted(node.shape[-1], node.source.unit, node.by)
    if forms.is_compared(node):
        return compared_floats(node, chain)
    return rounded_floats(node, chain)


def shifted(channels, unit, by):
    """An output stage of codes `by` below the multiples of a power of two.

    Beside this multiple of the unit float32 has no others, and rounds ties to
    even ones as well. What is left is whole.
    """
    whole = 1.5 * 2.0**23
    return ops.to_rounded(channels, 1 / unit, -whole - by, whole * unit)


def compared_floats(node, chain):
    """An output stage of a quantizer's codes, from floats before a chain."""
    direction, thresholds = folding.fold_floats(
        chain, node.quantizer, node.shape
    )
    channels = node.shape[-1]
    thresholds = np.broadcast_to(thresholds, (len(thresholds), channels))
    return to_codes(node, thresholds, direction, packing.float_thresholds)


def rounded_floats(node, chain):
    """`_compared_floats` of 8 bits, by rounding; `None` if that cannot be.

    See `PackedEmitter._rounded`.
    """
    if node.bits != 8 or not is_known(node.quantizer, (FixedPoint,)):
        return None
    layers = [layer for layer in chain if not folding.is_hard_tanh(layer)]
    # Hard tanh in front would cut off what the others move.
    if chain[: len(layers)] != layers or len(layers) > 1:
        return None
    norm = layers[0] if layers else None
    if norm is not None and not folding.is_batch_norm(norm):
        return None
    scale, bias, _ = scaling(
        np.float32(1), None, norm, np.float32(1 / node.unit)
    )
    if not (np.isfinite(scale).all() and np.isfinite(bias).all()):
        return None
    return ops.to_rounded(node.shape[-1], scale, bias)


def compared_average(node, chain, average):
    """An output stage of codes for the sums of an average pool, or `None`.

    `None` where windows reach beyond the codes: they have other counts.
    """
    source = average.args[0]
    size, _, padding = pooling.window(average.operation, source.shape)
    if padding != "valid":
        return None
    reach = int(np.prod(size) * np.abs(source.levels).max())
    direction, thresholds = folding.fold_average(
        average.operation,
        size[4 - len(source.shape) :],
        source.unit,
        np.array([-reach, reach]),
        chain,
        node.quantizer,
        node.shape,
    )
    return to_codes(node, thresholds, direction, packing.whole_thresholds)


def to_codes(node, thresholds, direction, fit):
    """An output stage of a node's codes; `fit` is a function of `packing`."""
    bits = packing.width(node.levels)
    first = packing.stored_codes(node.levels, bits)[0]
    thresholds = fit(thresholds, node.levels, bits)
    return ops.to_codes(bits, thresholds, direction, first)


def to_float(node, scale=1.0, bias=0.0):
    return ops.to_float(node.shape[-1], scale, bias)
