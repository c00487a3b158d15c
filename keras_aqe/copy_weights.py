"""Weights from one model into another, by name."""

import re
from typing import Any

import keras

from keras_aqe.graph import functional, has_graph
from keras_aqe.layers.quantized import QUANTIZER_ARGUMENTS
from keras_aqe.quantizers import Quantizer

# What Keras calls a weight that was given no name, with a number that counts
# all of them in the process.
_UNNAMED = re.compile(r"((?:\w+_)?variable)(?:_\d+)?")


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copies weights by the names of layers and variables.

    For models whose layers have the same names, such as a float model and the
    twin that `keras_aqe.quantize_model` made of it: `get_weights` of the twin
    has an entry for each of its quantizers (the alpha that it was trained at),
    files name layers by their class, and so neither `load_weights` nor, on a
    loaded twin, `set_weights` can do it. Alphas are copied where both have
    them and else left as they are.

    Args:
        source: A built Functional or Sequential model.
        target: A built model with the layers of `source`. Layers that only
            the target has keep their weights.

    Raises:
        ValueError: If a layer or a weight of the source is missing in the
            target, or has another shape there. Nothing is copied then.

    Example:

    ```pycon
    >>> inputs = keras.Input((4,))
    >>> outputs = keras.layers.Dense(2, name="dense")(inputs)
    >>> model = keras.Model(inputs, outputs)
    >>> twin = aqe.quantize_model(model, 1, 1, first_last_bits=None)
    >>> _ = model.get_layer("dense").bias.assign([3.0, 4.0])
    >>> copy_weights(model, twin)
    >>> keras.ops.convert_to_numpy(twin.get_layer("dense").bias)
    array([3., 4.], dtype=float32)

    ```
    """
    for model in (source, target):
        functional(model, "copy_weights")
    pairs = list(_pairs(source, target, ""))
    for _, variable, value in pairs:
        if variable.shape != value.shape:
            raise ValueError(
                f"Weight {variable.path!r} has shape {tuple(variable.shape)} "
                f"in the target and {tuple(value.shape)} in the source. Give "
                "both models layers of the same sizes."
            )
    for _, variable, value in pairs:
        variable.assign(keras.ops.convert_to_numpy(value))


def _pairs(source, target, path):
    """(path, variable of the target, variable of the source) for each."""
    if not has_graph(source):
        yield from _pairs_of_layer(source, target, path)
        return
    found = {layer.name: layer for layer in getattr(target, "layers", ())}
    for layer in source.layers:
        inner = f"{path}/{layer.name}" if path else layer.name
        if layer.name in found:
            yield from _pairs(layer, found[layer.name], inner)
        elif layer.variables:
            raise ValueError(
                f"The target has no layer {inner!r}, of which the source has "
                f"weights. It has: {', '.join(found) or 'none'}"
            )


def _pairs_of_layer(source, target, path):
    theirs, ours = _named(source), _named(target)
    for name, value in theirs.items():
        if name in ours:
            yield path, ours[name], value
        elif "/" not in name:
            raise ValueError(
                f"Layer {path!r} has no weight {name!r} in the target, of "
                f"type {type(target).__name__}, but in the source, of type "
                f"{type(source).__name__}. The target has: "
                f"{', '.join(ours) or 'none'}"
            )


def _named(layer):
    """A layer's variables by name, with "/" in those of its quantizers."""
    of_quantizers = {
        id(variable): f"{argument}/{variable.name}"
        for argument in QUANTIZER_ARGUMENTS
        if isinstance(getattr(layer, argument, None), Quantizer)
        for variable in getattr(layer, argument).variables
    }
    named: dict[str, Any] = {}
    for variable in layer.variables:
        unnamed = _UNNAMED.fullmatch(variable.name)
        name = unnamed[1] if unnamed else variable.name
        name = of_quantizers.get(id(variable), name)
        # Layers of layers have several of a name, in the same order.
        count = 1
        while (key := name if count == 1 else f"{name} {count}") in named:
            count += 1
        named[key] = variable
    return named
