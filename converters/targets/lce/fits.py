"""Which quantized layers Larq Compute Engine can run, and how exactly."""

import numpy as np

from keras_aqe.converters.errors import ConversionError, FloatLayerError
from keras_aqe.converters.targets.target import is_float_width
from keras_aqe.costs import operation

# float32 holds all multiples of 1/2 up to here.
_EXACT = 2**23


def float_rule(node, graph):
    """Why LCE may run a quantized layer in float; `None` if it may not."""
    if node.source.is_image:
        return "image layer"
    return "float width" if is_float_width(node) else None


def refusals(graph):
    """Errors of layers that `strict` does not allow.

    Args:
        graph: A `nodes.Graph`.
    """
    for node in graph.sums:
        reason = None if has_planes(node) else _obstacle(node)
        if reason is not None:
            yield FloatLayerError(
                f"Layer {node.name!r} would not run as XNOR under "
                f"target='lce': {reason} Pass strict=False to accept a float "
                "operator in its place.",
                node.name,
            )


def _obstacle(node):
    """Why LCE cannot run a quantized layer as XNOR; `None` if it can."""
    source = node.source
    if "MAC" in operation(source.bits, node.weight_bits) or source.is_image:
        return None
    if source.bits == 32:
        return (
            "its input is neither quantized nor the network's own input. Give "
            "it `input_quantizer='binary'`, or put "
            "`QuantActivation('binary')` before it."
        )
    wide = "input" if source.bits > 8 else "kernel"
    bits = max(source.bits, node.weight_bits)
    return (
        f"its {wide} has {bits} bits, which are floats and no sum of a few "
        "±1. Quantize it to 8 bits or fewer."
    )


def has_planes(node):
    """Whether a layer is written as sums over planes."""
    return (
        node.source.levels is not None
        and not node.source.is_image
        and node.weight_bits <= 8
        and min(node.source.bits, node.weight_bits) <= 4
    )


def check_exact(node, kernel, inputs, weights):
    """Raises `ConversionError` unless float32 holds all sums of a layer.

    Args:
        node: A `nodes.Sum`.
        kernel: Its kernel, as a convolution's.
        inputs: The `Planes` of its input.
        weights: The `Planes` of the kernel.
    """
    taps = np.prod(kernel.shape[:-1])
    reach = np.abs(kernel).sum(axis=(0, 1, 2)).max()
    # The halves of two planes make quarters in the sums over a kernel's.
    largest = max(2 * weights.reach * taps, inputs.reach * reach)
    if largest >= _EXACT:
        raise ConversionError(
            f"Layer {node.name!r} has sums up to {int(largest):,}, and LCE "
            f"adds in float32, which is exact up to {_EXACT:,} only. Use "
            "target='packed', fewer bits or fewer inputs."
        )
