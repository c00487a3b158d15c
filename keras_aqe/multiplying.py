"""Layers that multiply with kernels, and how often they do."""

import math
from collections.abc import Sequence
from typing import Any

import keras

_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
# The layers with kernels.
MULTIPLYING = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Dense,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    *SEPARABLE,
    *_TRANSPOSED,
)


def kernels(layer: keras.layers.Layer) -> tuple[keras.Variable, ...]:
    """The kernels of a layer of one of the classes in `MULTIPLYING`."""
    if isinstance(layer, SEPARABLE):
        return layer.depthwise_kernel, layer.pointwise_kernel
    return (layer.kernel,)


def positions(
    layer: keras.layers.Layer,
    input_shape: Sequence[Any],
    output_shape: Sequence[Any],
) -> int:
    """How often each weight of a layer's kernels is used for one example.

    Once at each position: of the input where the convolution is transposed,
    of the output elsewhere.

    Args:
        layer: A layer of one of the classes in `MULTIPLYING`.
        input_shape: Shape of its input, the batch first.
        output_shape: Shape of its output, the batch first.

    Raises:
        ValueError: If a size other than the batch is not known.
    """
    shape = input_shape if isinstance(layer, _TRANSPOSED) else output_shape
    first = getattr(layer, "data_format", None) == "channels_first"
    sizes = shape[2:] if first else shape[1:-1]
    if None in sizes:
        raise ValueError(
            f"Layer {layer.name!r} has a tensor of shape {shape}, so its MACs "
            "are not known. Build the model with an input of fixed size."
        )
    return math.prod(sizes)
