"""What a file says of itself: its layers and the operators that carry them."""

import dataclasses
import importlib.metadata
import math

import keras

from keras_aqe.converters.errors import ConversionError
from keras_aqe.converters.graph import nodes
from keras_aqe.converters.graph.macs import macs
from keras_aqe.converters.targets.ownership import has_weights, owned_operators
from keras_aqe_runtime.file import flatbuffer

# Layers with weights that only scale and shift, which mostly end up in the
# constants of other operators.
_NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.Normalization,
)
# What carries layers that multiply, loops over their cells too.
_PRODUCTS = {*flatbuffer.PRODUCTS, "WHILE"}


def describe(model, stored, graph, target):
    """Describes a file that a target wrote.

    Args:
        model: The parsed file.
        stored: The `codes.Stored` of nodes, as far as the file holds them.
        graph: The `nodes.Graph` that it was written from.
        target: The `Target` that wrote it.

    Returns:
        A dictionary for `metadata.seal`. Its `"layers"` and
        `"normalizations"` name each layer that has weights and the indices of
        its `"operators"`, with other operators `"beside"` them.

    Raises:
        ConversionError: If the file has no operator for a quantized layer.
    """
    operators = flatbuffer.weighted_operators(model, target.kernels)
    weighted = set(operators)
    products = {
        node: macs(node)
        for node in graph.nodes
        if isinstance(node, nodes.Apply)
    }
    owned = owned_operators(model, graph, weighted, products)
    layers, normalizations = [], []
    for node in graph.nodes:
        if isinstance(node, nodes.Sum):
            carriers = [i for i in owned[node] if i in weighted]
            beside = [i for i in owned[node] if i not in weighted]
            rule = target.float_rule(node, graph)
            layers.append(_quantized(node, carriers, beside, rule))
        elif _is_normalization(node):
            normalizations.append(_entry(node.name, owned[node]))
        elif has_weights(node):
            layers.append(_plain(model, node, owned[node], products[node]))
        elif isinstance(node, nodes.Threshold):
            normalizations += [
                _entry(layer.name, []) for layer in node.folded if layer.weights
            ]
    others = [n for node, n in products.items() if not has_weights(node)]
    return {
        "version": importlib.metadata.version("keras-aqe"),
        "target": target.name,
        "layers": layers,
        "normalizations": normalizations,
        "other_macs": sum(others),
        "codes": [_code(node, stored.get(node)) for node in graph.codes],
        "inputs": _tensors(graph.input_names, model.subgraphs[0].inputs),
        "input_structure": graph.input_structure,
        "outputs": _tensors(graph.output_names, model.subgraphs[0].outputs),
        "output_structure": graph.output_structure,
    }


def _tensors(names, indices):
    """The Keras names of a file's inputs or outputs."""
    return [
        {"name": name, "tensor": int(index)}
        for name, index in zip(names, indices, strict=True)
    ]


def _entry(name, operators, beside=()):
    return {"name": name, "operators": operators, "beside": beside}


def _quantized(node, operators, beside, float_rule):
    if not operators:
        raise ConversionError(
            f"Layer {node.name!r} is in the model, but the file holds no "
            "operator for it. This is a fault of the converter; please "
            "report it with the model.",
            node.name,
        )
    return {
        **_entry(node.name, operators, beside),
        "input_bits": node.source.bits,
        "weight_bits": node.weight_bits,
        "macs": math.prod(node.shape[1:-1]) * int(node.kernel.size),
        "may_be_float": float_rule,
    }


def _plain(model, node, operators, products):
    """An entry of a layer that Keras itself computes in floats."""
    names = flatbuffer.operator_names(model)
    # A layer of products is carried by them, and others by all they have.
    carriers = [i for i in operators if names[i] in _PRODUCTS] or operators
    beside = [i for i in operators if i not in carriers]
    bits = [source.bits for source in node.sources()]
    return {
        **_entry(node.name, carriers, beside),
        "input_bits": max(bits, default=32),
        "weight_bits": 32,
        "macs": products,
        "plain": True,
        "may_be_float": "plain layer",
    }


def _is_normalization(node):
    return has_weights(node) and isinstance(node.operation, _NORMALIZATIONS)


def _code(node, stored):
    """Where the codes of a quantizer stand in the file."""
    name = nodes.quantization(node).name
    entry = {"name": name, "bits": node.bits, "unit": node.unit}
    if stored is not None:
        fields = dataclasses.asdict(stored)
        entry["stored"] = {k: v for k, v in fields.items() if v is not None}
    return entry
