"""What a node of the inference graph is for the operators of the format."""

import keras

from keras_aqe.converters.graph import folding, known
from keras_aqe.converters.graph import nodes as g
from keras_aqe.converters.graph.known import is_concatenation, is_known
from keras_aqe.converters.targets.packed import fits, packing, pooling
from keras_aqe.quantizers import FixedPoint


def parts(node):
    """The nodes whose channels, one's behind the other's, are a node's.

    Of floats that are concatenated, of which some may be concatenations
    themselves; of all else, the node alone.
    """
    if (
        not isinstance(node, g.Apply)
        or node.levels is not None
        or not is_concatenation(node.operation, len(node.shape))
        or keras.tree.flatten((node.args, node.kwargs)) != node.sources()
        or any(source.dtype != "float32" for source in node.sources())
    ):
        return [node]
    return [part for source in node.sources() for part in parts(source)]


def only_source(node):
    """The one node that a node is computed from, `None` if there are more."""
    sources = node.sources()
    return sources[0] if len(sources) == 1 else None


def moves_pixels(node):
    """Whether a layer moves, repeats or drops all channels of a pixel alike."""
    operation = node.operation
    if None in node.shape[1:]:
        return False
    if is_known(operation, (keras.layers.Permute,)):
        return operation.dims[-1] == len(operation.dims)
    return known.moves_pixels(operation)


def pads_by_zero_words(node):
    """Whether pixels around codes are words without a bit."""
    width = packing.width(node.levels)
    return (
        width == packing.width(node.source.levels) != 8
        and fits.is_packed(node.source)
        and node.code == (1 if width == 1 else 0)
        and not any(node.pads[-1])
    )


def is_max_of_floats(node):
    """Whether a node is a max pool of what another layer returns in floats."""
    source = only_source(node)
    return (
        isinstance(node, g.Apply)
        and node.levels is None
        and isinstance(source, g.Apply)
        and pooling.is_max(node.operation, source.shape)
    )


def is_compared(node):
    """Whether a quantizer's codes are found by thresholds."""
    return len(node.levels) <= folding.MOST_LEVELS or not is_known(
        node.quantizer, (FixedPoint,)
    )


def is_average_of_codes(node):
    """Whether a node is the mean of codes that an operator can read."""
    source = only_source(node)
    return (
        isinstance(node, g.Apply)
        and source is not None
        and fits.is_codes(source)
        and fits.is_packed(source)
        and pooling.is_average(
            node.operation,
            source.shape,
            packing.LEVELS[packing.width(source.levels)],
        )
    )
