"""The inference graph: what a trained model computes once it is hard.

Every quantized layer becomes a `Sum` over integer codes, and what stands
between a sum and the next quantizer (bias, batch normalisation, hard tanh,
other monotone layers, with max pooling anywhere among them) becomes one
`Threshold` of that sum. All targets are emitted from this graph.
"""

import keras
import numpy as np

from keras_aqe import inference, layers, quantizers
from keras_aqe.converters.errors import ConversionError
from keras_aqe.converters.graph import folding, lowering
from keras_aqe.converters.graph.nodes import (
    Apply,
    Graph,
    Input,
    Node,
    Quantize,
    Sum,
    Threshold,
)

# Layers that only move, repeat or drop elements, so that codes stay codes.
_SELECTIONS = (
    keras.layers.Concatenate,
    keras.layers.Cropping1D,
    keras.layers.Cropping2D,
    keras.layers.Flatten,
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
    keras.layers.Permute,
    keras.layers.RepeatVector,
    keras.layers.Reshape,
    keras.layers.UpSampling1D,
    keras.layers.UpSampling2D,
    keras.layers.ZeroPadding1D,
    keras.layers.ZeroPadding2D,
)
_ZERO_PADDINGS = (keras.layers.ZeroPadding1D, keras.layers.ZeroPadding2D)
_REORDERINGS = (
    keras.layers.Flatten,
    keras.layers.Permute,
    keras.layers.Reshape,
)


def build(model, allow_soft=False):
    """Builds the inference graph of a Functional or Sequential model.

    Args:
        model: A built `keras.Model` in float32.
        allow_soft: Whether its last training step may have been below
            alpha = 1.

    Returns:
        A `Graph`.

    Raises:
        ConversionError: If the model is not built, not Functional or
            Sequential, not float32, has weights that are not finite, stopped
            training before its alpha was 1, or has a quantized layer of a
            kind that cannot be converted.
    """
    functional = _functional(model)
    _check(model)
    if not allow_soft:
        _check_alpha(model)
    inputs = [
        Input(
            tensor.name,
            tuple(tensor.shape),
            dtype=tensor.dtype,
            is_image=True,
        )
        for tensor in functional.inputs
    ]
    codes = []
    outputs = keras.tree.flatten(_run(functional, inputs, codes))
    input_names = [tensor.name for tensor in functional.inputs]
    return Graph(
        inputs,
        outputs,
        codes,
        *_layout(functional._inputs_struct, input_names),
        *_layout(functional._outputs_struct, functional.output_names),
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
    if isinstance(model, keras.Sequential):
        if not model.built:
            raise ConversionError(
                f"Model {model.name!r} was never built, so its shapes are not "
                "known. Give it a `keras.Input` or call it on data first."
            )
        return model._functional
    if isinstance(model, keras.Model) and hasattr(model, "_nodes_by_depth"):
        return model
    raise ConversionError(
        "`convert` takes Functional and Sequential models. Received: "
        f"{type(model).__name__} {getattr(model, 'name', '')!r}. Rebuild it "
        "as `keras.Model(inputs, outputs)`."
    )


def _check(model):
    for layer in model._flatten_layers():
        if _computes_in_other_floats(layer):
            raise ConversionError(
                f"Layer {layer.name!r} computes in {layer.compute_dtype}, but "
                "files are exact for float32 networks only. Convert "
                "`keras_aqe.to_float32(model)`, and measure that network: its "
                "codes differ where 16 bits rounded otherwise."
            )
        for weight in layer.weights:
            values = keras.ops.convert_to_numpy(weight)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise ConversionError(
                    f"Weight {weight.path!r} has values that are NaN or "
                    "infinite. Training diverged; go back to a checkpoint "
                    "before it did."
                )


def _computes_in_other_floats(layer):
    # Models compute nothing themselves, and inputs are what they are.
    return (
        not isinstance(layer, (keras.Model, keras.layers.InputLayer))
        and keras.backend.is_float_dtype(layer.compute_dtype)
        and layer.compute_dtype != "float32"
    )


def _check_alpha(model):
    for layer in model._flatten_layers():
        if isinstance(layer, quantizers.Quantizer) and layer.is_soft:
            alpha = keras.ops.convert_to_numpy(layer.trained_alpha)
            raise ConversionError(
                f"Training stopped at alpha = {alpha:.3f} in quantizer "
                f"{layer.name!r}: weights and batch normalisation are fitted "
                "to blended values, not to the hard ones of the file. Train "
                "on until alpha is 1 with "
                "`keras_aqe.callbacks.AlphaScheduler`, call "
                "`keras_aqe.recalibrate`, or pass `allow_soft=True` to "
                "convert the network as it is."
            )


def _run(functional, inputs, codes):
    # Keras has no public way to walk a Functional model.
    return functional._run_through_graph(
        inputs, operation_fn=lambda operation: _visitor(operation, codes)
    )


def _visitor(operation, codes):
    def quantize(source, quantizer):
        node = _quantize(source, quantizer, operation.name)
        codes.append(node)
        return node

    def visit(*args, **kwargs):
        if isinstance(operation, keras.Model):
            inner = _functional(operation)
            return _run(inner, keras.tree.flatten(args), codes)
        if isinstance(operation, lowering.CONVERTIBLE):
            source = args[0]
            if operation.input_quantizer is not None:
                source = quantize(source, operation.input_quantizer)
            return lowering.lower(operation, source)
        if isinstance(operation, layers.QuantActivation):
            return quantize(args[0], operation.quantizer)
        if isinstance(operation, quantizers.Quantizer):
            return quantize(args[0], operation)
        if _quantizers_of(operation):
            raise ConversionError(
                f"Layer {operation.name!r} of type "
                f"{type(operation).__name__} cannot be converted. Quantized "
                "layers that can be: "
                f"{[c.__name__ for c in lowering.CONVERTIBLE]}."
            )
        return _apply(operation, args, kwargs)

    return visit


def _quantizers_of(operation):
    if not isinstance(operation, keras.layers.Layer):
        return []
    return [
        layer
        for layer in operation._flatten_layers()
        if isinstance(layer, quantizers.Quantizer)
    ]


def _apply(operation, args, kwargs):
    sources = [
        value
        for value in keras.tree.flatten((args, kwargs))
        if isinstance(value, Node)
    ]
    specs = keras.tree.map_structure(_spec, (args, kwargs))
    output = operation.compute_output_spec(*specs[0], **specs[1])
    if keras.tree.is_nested(output):
        raise ConversionError(
            f"Layer {operation.name!r} returns several tensors, which cannot "
            "be converted. Write it as layers that return one each."
        )
    if inference.is_identity(operation, *specs):
        return _same(operation, sources[0], output.shape)
    node = Apply(
        operation.name,
        tuple(output.shape),
        # What is made of the image without trained weights still is one.
        is_image=not _is_trained(operation)
        and all(source.is_image for source in sources),
        dtype=output.dtype,
        operation=operation,
        args=args,
        kwargs=kwargs,
    )
    if _selects(operation, sources):
        node.bits, node.levels = sources[0].bits, sources[0].levels
        node.unit = sources[0].unit
        if isinstance(operation, _ZERO_PADDINGS) and node.levels is not None:
            node.levels = np.union1d(node.levels, 0)
            node.bits = max(node.bits, 2)
    return node


def _same(operation, source, declared):
    if tuple(declared) != source.shape:
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


def _selects(operation, sources):
    """Whether codes go in and the same kind of codes comes out."""
    if not isinstance(operation, _SELECTIONS) or (
        getattr(operation, "interpolation", "nearest") != "nearest"
    ):
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


def _spec(value):
    if not isinstance(value, Node):
        return value
    return keras.KerasTensor(value.shape, getattr(value, "dtype", "float32"))


def _quantize(source, quantizer, name):
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
    if isinstance(source, Apply) and isinstance(source.operation, _REORDERINGS):
        inner = _quantize(source.args[0], quantizer, name)
        return _apply(source.operation, (inner,), source.kwargs)
    chain, origin = folding.chain_of(source)
    if (
        isinstance(origin, Sum)
        and folding.is_monotone(origin.activation)
        and len(codes) <= 16
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
