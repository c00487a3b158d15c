"""What builtin operators on int8 can hold."""

import numpy as np

from keras_aqe.converters.graph import nodes as g
from keras_aqe.converters.targets.target import is_float_width


def float_rule(node, graph):
    """Why a quantized layer may run in float; `None` if it may not."""
    if node.source.is_image:
        return "image layer"
    if is_float_width(node):
        return "float width"
    feeds_float = node in graph.outputs or any(
        node in other.sources() and not isinstance(other, g.Threshold)
        for other in graph.nodes
    )
    return "feeds float" if feeds_float else None


def is_int8(node):
    """Whether a node's tensor holds its codes as int8."""
    return (
        not isinstance(node, g.Sum)
        and node.levels is not None
        and node.levels[0] >= -128
        and node.levels[-1] <= 127
        # What interpreters make of other units may be rounded.
        and np.log2(node.unit).is_integer()
    )


def pads_with_int8(node):
    """Whether a sum of int8 codes is padded by an int8 code, if at all.

    An image may be padded by anything, in floats.
    """
    if not node.source.is_image or not is_int8(node.source):
        return True
    return node.window is None or -128 <= node.window.pad_code <= 127


def adds_in_int32(node):
    """Whether a sum of codes less a threshold as large stays within int32."""
    axes = tuple(range(node.kernel.ndim - 1))
    largest = np.abs(node.kernel).sum(axes).max() * node.largest_code
    return largest < 2**30
