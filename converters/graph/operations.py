"""What quantizers, and layers without a quantized kernel, make of nodes.

Codes that a layer only moves, pads or drops stay codes, and what is moved in
front of a quantizer is quantized before.
"""

import re

import keras
import numpy as np

from keras_aqe import inference
from keras_aqe.converters.errors import ConversionError
from keras_aqe.converters.graph import calls, folding, pixels, quantizing
from keras_aqe.converters.graph.known import (
    MOVES_OF_PIXELS,
    is_known,
    is_selection,
    moves_pixels,
    padding,
)
from keras_aqe.converters.graph.nodes import (
    Apply,
    Pad,
    Quantize,
    Sum,
    Threshold,
)

_SCOPE_NAME = r"[A-Za-z0-9_.\\>-]*"
# Layers of one input that move, repeat or drop elements.
_MOVES = (
    *MOVES_OF_PIXELS,
    keras.layers.Flatten,
    keras.layers.Permute,
    keras.layers.RepeatVector,
    keras.layers.Reshape,
)


def apply(operation, args, kwargs):
    """The node of an operation that is called on nodes.

    Args:
        operation: A Keras layer or operation.
        args, kwargs: What it is called with, nodes in place of tensors.

    Raises:
        ConversionError: If TensorFlow cannot call the operation in a graph.
    """
    _require_scope_names(operation)
    sources = calls.nodes_of((args, kwargs))
    shape, dtype = calls.output_spec(operation, args, kwargs)
    specs = keras.tree.map_structure(calls.spec, (args, kwargs))
    if inference.is_identity(operation, *specs):
        return _same(operation, sources[0], shape)
    node = Apply(
        operation.name,
        shape,
        # What is made of the image without trained weights still is one.
        is_image=not _is_trained(operation)
        and all(source.is_image for source in sources),
        dtype=dtype,
        operation=operation,
        args=args,
        kwargs=kwargs,
    )
    padded = padding(operation, args, kwargs)
    if padded is not None and _is_codes(sources[0]):
        pads, number = padded
        code = number / sources[0].unit
        return _pad(operation.name, sources[0], pads, code) or node
    if _selects(operation, sources):
        node.bits, node.levels = sources[0].bits, sources[0].levels
        node.unit = sources[0].unit
        if padded is not None and node.levels is not None:
            node.levels = np.union1d(node.levels, 0)
    if pixels.is_preprocessing(operation, sources):
        return pixels.find(node) or node
    return node


def _require_scope_names(operation):
    """Refuses layers whose names TensorFlow's graphs do not take.

    Keras would enter their scope, fail, and stay in it.
    """
    if not isinstance(operation, keras.layers.Layer):
        return
    for layer in operation._flatten_layers():
        if not re.fullmatch(_SCOPE_NAME, layer.name):
            raise ConversionError(
                f"Layer {layer.name!r} cannot be converted: its name is no "
                "scope name of TensorFlow's, and `predict` refuses it too. Use "
                "letters, digits and any of '_.>-' alone."
            )


def _same(operation, source, declared):
    if declared != source.shape:
        raise ConversionError(
            f"Layer {operation.name!r} declares outputs of shape {declared}, "
            f"but at inference it returns its input of shape {source.shape} "
            "as it is, so the layers behind it see another shape than they "
            "were built for. Move it out of the model, into the pipeline of "
            "training data."
        )
    return source


def _is_trained(operation):
    """Whether an operation has weights other than a normalisation's."""
    if not isinstance(operation, keras.layers.Layer):
        return False
    normalisations = [
        layer
        for layer in operation._flatten_layers()
        if isinstance(layer, keras.layers.Normalization)
    ]
    return len(operation.weights) > sum(len(n.weights) for n in normalisations)


def _is_codes(node):
    """Whether a node's value is that of codes which are no image's."""
    return (
        node.levels is not None
        and not node.is_image
        and not isinstance(node, Sum)
    )


def _pad(name, source, pads, code):
    """Codes with others around; `None` if there is no such code.

    What stands around may be 0 as well, which adds nothing to a sum.
    """
    bits, levels = source.bits, source.levels
    if code not in levels:
        if code:
            return None
        bits, levels = max(bits, 2), np.union1d(levels, 0)
    shape = tuple(
        size if size is None else size + sum(pair)
        for size, pair in zip(source.shape, pads)
    )
    if isinstance(source, Pad) and source.code == code:
        source, inner = source.source, source.pads
        pads = tuple(
            (before + first, last + behind)
            for (before, behind), (first, last) in zip(pads, inner)
        )
    return Pad(
        name,
        shape,
        bits=bits,
        unit=source.unit,
        levels=levels,
        source=source,
        pads=pads,
        code=code,
    )


def _selects(operation, sources):
    """Whether codes go in and the same kind of codes comes out."""
    if not is_selection(operation):
        return False
    # A sum still needs its bias, so only codes pass as codes.
    first = sources[0]
    return all(
        not isinstance(source, Sum)
        and source.bits == first.bits
        and source.unit == first.unit
        and np.array_equal(source.levels, first.levels)
        for source in sources
    )


def quantize(source, quantizer, name):
    """The node of a quantizer's codes, after the sum where there is one.

    Args:
        source: The node that is quantized.
        quantizer: A quantizer that `quantizing.check` takes.
        name: What the node is called.
    """
    if source.dtype != "float32":
        source, quantizer = quantizing.as_floats(source, quantizer, name)
    if quantizer.bits > 8:
        return Quantize(
            name,
            source.shape,
            bits=quantizer.bits,
            source=source,
            quantizer=quantizer,
        )
    codes = np.rint(np.asarray(quantizer.levels, "float64") / quantizer.unit)
    described = {
        "bits": quantizer.bits,
        "unit": quantizer.unit,
        "levels": codes.astype("int64"),
    }
    # What is moved in front of a quantizer and behind a sum keeps them apart.
    moved = _quantized_inside(source, quantizer, name)
    if moved is not None:
        return moved
    chain, origin = folding.chain_of(source)
    if (
        isinstance(origin, Sum)
        and folding.is_monotone(origin.activation)
        and len(codes) <= folding.MOST_LEVELS
    ):
        steps, thresholds = folding.fold(origin, chain, quantizer)
        return Threshold(
            name,
            source.shape,
            **described,
            source=origin,
            steps=steps,
            thresholds=thresholds,
            folded=chain,
        )
    return Quantize(
        name, source.shape, **described, source=source, quantizer=quantizer
    )


def _quantized_inside(source, quantizer, name):
    """Codes of moved or padded floats as moved or padded codes.

    Layers behind that take each number alone may as well stand in front.

    Returns:
        The node, `None` where the codes would not be the same.
    """
    chain, origin = folding.chain_of(source, pools=False)
    if not isinstance(origin, Apply) or not origin.sources():
        return None
    operation, inner = origin.operation, origin.args[0]
    padded = padding(operation, origin.args, origin.kwargs)
    code = None
    if padded is not None:
        pads, number = padded
        code = folding.fold_number(number, chain, quantizer, source.shape[-1])
        if code is None or any(pads[0] + pads[-1]):
            return None
    elif not _moves(operation, any(map(folding.is_batch_norm, chain))):
        return None
    for layer in chain:
        inner = apply(layer, (inner,), {})
    codes = quantize(inner, quantizer, name)
    if padded is not None:
        return _pad(name, codes, pads, code)
    return apply(operation, (codes,), origin.kwargs)


def _moves(operation, within_channels):
    """Whether an operation moves elements, perhaps those of channels alone."""
    if within_channels:
        return moves_pixels(operation)
    return is_known(operation, _MOVES) and is_selection(operation)
