"""The inference graph: what a trained model computes once it is hard.

Every quantized layer becomes a `Sum` over integer codes, and what stands
between a sum and the next quantizer (bias, batch normalisation, hard tanh,
other monotone layers, with max pooling anywhere among them) becomes one
`Threshold` of that sum. All targets are emitted from this graph.
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from keras_aqe import graph, layers, quantizers
from keras_aqe.converters.errors import ConversionError, naming, raising
from keras_aqe.converters.graph import (
    calls,
    lowering,
    operations,
    pixels,
    quantizing,
)
from keras_aqe.converters.graph.known import (
    require_known,
)
from keras_aqe.converters.graph.nodes import (
    Graph,
    Input,
)

_LOOKUPS = (
    keras.layers.IntegerLookup,
    keras.layers.StringLookup,
    keras.layers.TextVectorization,
)


@dataclasses.dataclass
class _Walk:
    """What one walk through a model finds, nested models included.

    Args:
        refuse: See `build`.
        without: See `build`.

    Attributes:
        codes: As in `Graph`.
        inputs: Nodes in the place of what refused layers return.
        outputs: Nodes that refused layers are called on.
    """

    refuse: Callable
    without: set
    codes: list = dataclasses.field(default_factory=list)
    inputs: list = dataclasses.field(default_factory=list)
    outputs: list = dataclasses.field(default_factory=list)


def build(model, allow_soft=False, refuse=raising, without=()):
    """Builds the inference graph of a Functional or Sequential model.

    Args:
        model: A built `keras.Model` in float32.
        allow_soft: Whether its last training step may have been below
            alpha = 1.
        refuse: Called with the `ConversionError` of each layer that cannot be
            converted. Where it returns, the graph goes on with an input in
            the place of what the layer returns.
        without: Names of layers that are left out like that.

    Returns:
        A `Graph`.

    Raises:
        ConversionError: If the model is not built, not Functional or
            Sequential, not float32, has weights that are not finite, stopped
            training before its alpha was 1, or has a quantized layer of a
            kind that cannot be converted.
    """
    functional = _functional(model)
    walk = _Walk(refuse, set(without))
    for error in _faults(model):
        refuse(error)
        walk.without.add(error.layer)
    if not allow_soft and (error := _softness(model)):
        refuse(error)
    for tensor in functional.inputs:
        if getattr(tensor, "sparse", False) or getattr(tensor, "ragged", False):
            refuse(_not_dense(tensor))
    inputs = [_input(tensor) for tensor in functional.inputs]
    outputs = keras.tree.flatten(_run(functional, inputs, walk))
    names, structure = _layout(
        functional._inputs_struct, [tensor.name for tensor in functional.inputs]
    )
    output_names, output_structure = _layout(
        functional._outputs_struct, functional.output_names
    )
    if walk.inputs:
        # What is left has other inputs and outputs than the model.
        structure = list(range(len(inputs) + len(walk.inputs)))
        output_structure = list(range(len(outputs) + len(walk.outputs)))
    return Graph(
        inputs + walk.inputs,
        outputs + walk.outputs,
        walk.codes,
        names + [node.name for node in walk.inputs],
        structure,
        output_names + [node.name for node in walk.outputs],
        output_structure,
    )


def _layout(structure, names):
    """Names of inputs or outputs, keys first, and a structure of numbers."""
    numbers = list(range(len(names)))
    numbered = keras.tree.pack_sequence_as(structure, numbers)
    # Keras takes and returns a list of one as the one.
    if isinstance(numbered, (list, tuple)) and len(numbers) == 1:
        (numbered,) = numbered
    names = list(names)
    if isinstance(numbered, dict):
        for key, number in numbered.items():
            if isinstance(number, int):
                names[number] = key
    return names, numbered


def _functional(model):
    try:
        found = graph.functional(model, "convert")
    except ValueError as error:
        raise ConversionError(str(error)) from None
    _require_own_call(model)
    return found


def _require_own_call(model):
    """Refuses a model that does not do what its graph says."""
    classes = type(model).__mro__
    owner = next(cls for cls in classes if "call" in vars(cls))
    if "call" in vars(model) or not owner.__module__.startswith("keras."):
        raise ConversionError(
            f"Model {model.name!r} has a `call` of its own "
            f"({owner.__name__}), which its graph does not show. Rebuild it "
            "as `keras.Model(inputs, outputs)`."
        )


def _input(tensor):
    return Input(
        tensor.name,
        (None, *tensor.shape[1:]),
        dtype=tensor.dtype,
        is_image=True,
        batch=tensor.shape[0],
    )


def _not_dense(tensor):
    return ConversionError(
        f"Input {tensor.name!r} is sparse or ragged, which a file cannot be. "
        "Make it a dense one.",
        tensor.name,
    )


def _faults(model):
    """Errors of layers that compute or hold what no file can."""
    weights, refused = {}, set()
    for layer, owner in _owned(model):
        if _computes_in_other_floats(layer) and owner.name not in refused:
            refused.add(owner.name)
            yield ConversionError(
                f"Layer {owner.name!r} computes in {layer.compute_dtype}, but "
                "files are exact for float32 networks only. Convert "
                "`keras_aqe.to_float32(model)`, and measure that network: its "
                "codes differ where 16 bits rounded otherwise.",
                owner.name,
            )
        # A model has those of its layers too, and comes before them.
        weights |= {weight.path: (owner, weight) for weight in layer.weights}
    for path, (owner, weight) in weights.items():
        values = weight.numpy()
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            yield ConversionError(
                f"Weight {path!r} has values that are NaN or infinite. "
                "Training diverged; go back to a checkpoint before it did.",
                owner.name,
            )


def _owned(model):
    """All layers, each with the one of the graph that it is or belongs to.

    Names of quantizers and cells inside of layers say nothing to users.
    """
    owners = {}
    for layer in model._flatten_layers():
        owner = owners.get(id(layer), layer)
        if not isinstance(layer, keras.Model):
            for inner in layer._flatten_layers(include_self=False):
                owners.setdefault(id(inner), owner)
        yield layer, owner


def _computes_in_other_floats(layer):
    # Models compute nothing themselves, and inputs are what they are.
    return (
        not isinstance(layer, (keras.Model, keras.layers.InputLayer))
        and keras.backend.is_float_dtype(layer.compute_dtype)
        and layer.compute_dtype != "float32"
    )


def _softness(model):
    """The error of a model whose training stopped below alpha = 1, or `None`.

    One for all its quantizers, since one thing mends them all.
    """
    for layer in model._flatten_layers():
        if isinstance(layer, quantizers.Quantizer) and layer.is_soft:
            alpha = keras.ops.convert_to_numpy(layer.trained_alpha)
            return ConversionError(
                f"Training stopped at alpha = {alpha:.3f} in the "
                f"{layer.place}: weights and batch normalisation are fitted "
                "to blended values, not to the hard ones of the file. Train "
                "on until alpha is 1 with "
                "`keras_aqe.callbacks.AlphaScheduler`, call "
                "`keras_aqe.recalibrate`, or pass `allow_soft=True` to "
                "convert the network as it is."
            )
    return None


def _run(functional, inputs, walk):
    # Keras has no public way to walk a Functional model.
    return functional._run_through_graph(
        inputs, operation_fn=lambda operation: _visitor(operation, walk)
    )


def _visitor(operation, walk):
    def visit(*args, **kwargs):
        if operation.name in walk.without:
            return _left_out(operation, args, kwargs, walk)
        try:
            with naming(operation):
                return _visit(operation, args, kwargs, walk)
        except ConversionError as error:
            walk.refuse(error)
            return _left_out(operation, args, kwargs, walk)

    return visit


def _visit(operation, args, kwargs, walk):
    args, kwargs = calls.prepare(operation, args, kwargs)
    if isinstance(operation, keras.Model):
        return _nested(operation, args, kwargs, walk)
    node = _convert(operation, args, kwargs, walk)
    if node is not args[0]:
        node.mask = calls.output_mask(operation, args, kwargs)
    return node


def _left_out(operation, args, kwargs, walk):
    """Inputs in the place of what an operation returns."""
    walk.outputs += calls.nodes_of((args, kwargs))
    specs = keras.tree.map_structure(calls.spec, (args, kwargs))
    outputs = operation.compute_output_spec(*specs[0], **specs[1])

    def stand_in(tensor):
        shape = (None, *tensor.shape[1:])
        node = Input(operation.name, shape, dtype=tensor.dtype)
        walk.inputs.append(node)
        return node

    return keras.tree.map_structure(stand_in, outputs)


def _nested(model, args, kwargs, walk):
    functional = _functional(model)
    (inputs,) = args
    if kwargs.get("mask") is not None:
        raise ConversionError(
            f"Model {model.name!r} is called with a mask, which cannot be "
            "converted. Let its input carry the mask, as `Masking` does."
        )
    if isinstance(inputs, dict) and not isinstance(
        functional._inputs_struct, dict
    ):
        inputs = [inputs[tensor.name] for tensor in functional.inputs]
    inputs = [
        _as_given(node, tensor)
        for node, tensor in zip(
            keras.tree.flatten(inputs), functional.inputs, strict=True
        )
    ]
    return _run(functional, inputs, walk)


def _as_given(node, tensor):
    """A node in the rank and the dtype of a nested model's input."""
    if len(node.shape) != len(tensor.shape):
        grows = len(node.shape) < len(tensor.shape)
        change = keras.ops.expand_dims if grows else keras.ops.squeeze
        node = operations.apply(
            change(calls.spec(node), -1)._keras_history.operation, (node,), {}
        )
    return calls.cast(node, tensor.dtype)


def _convert(operation, args, kwargs, walk):
    def refuse(error):
        error.layer = operation.name
        walk.refuse(error)

    def quantize(source, quantizer):
        try:
            quantizing.check(quantizer, operation.name)
        except ConversionError as error:
            refuse(error)
            quantizer = quantizing.stand_in(quantizer)
        node = operations.quantize(source, quantizer, operation.name)
        walk.codes.append(node)
        return node

    def quantize_value(source, quantizer):
        # A quantizer returns the type that it gets.
        return calls.cast(quantize(source, quantizer), source.dtype)

    if isinstance(operation, lowering.CONVERTIBLE):
        require_known(operation, lowering.CONVERTIBLE)
        source = args[0]
        if operation.input_quantizer is not None:
            source = quantize(source, operation.input_quantizer)
        source = pixels.cast(calls.cast(source, "float32"))
        return lowering.lower(operation, source, refuse)
    if isinstance(operation, layers.QuantActivation):
        require_known(operation, (layers.QuantActivation,))
        return quantize_value(args[0], operation.quantizer)
    if isinstance(operation, quantizers.Quantizer):
        return quantize_value(args[0], operation)
    if _quantizers_of(operation):
        raise ConversionError(
            f"Layer {operation.name!r} of type "
            f"{type(operation).__name__} cannot be converted. Quantized "
            "layers that can be: "
            f"{[c.__name__ for c in lowering.CONVERTIBLE]}. Use one of them, "
            "or a layer without quantizers, which runs in float."
        )
    if (mode := getattr(operation, "quantization_mode", None)) is not None:
        raise ConversionError(
            f"Layer {operation.name!r} was quantized to {mode!r} by Keras, in "
            "operators that .tflite files do not have. Convert the model as "
            "it was before `quantize`."
        )
    if isinstance(operation, _LOOKUPS):
        raise ConversionError(
            f"Layer {operation.name!r} looks values up in a table, which "
            ".tflite files cannot hold. Do this outside of the model."
        )
    return operations.apply(operation, args, kwargs)


def _quantizers_of(operation):
    if not isinstance(operation, keras.layers.Layer):
        return []
    return [
        layer
        for layer in operation._flatten_layers()
        if isinstance(layer, quantizers.Quantizer)
    ]
