"""The inference graph: what a trained model computes once it is hard.

Every quantized layer becomes a `Sum` over integer codes, and what stands
between a sum and the next quantizer (bias, batch normalisation, hard tanh,
other monotone layers, with max pooling anywhere among them) becomes one
`Threshold` of that sum. All targets are emitted from this graph.
"""

import dataclasses

import keras
import numpy as np

from keras_aqe import layers, quantizers
from keras_aqe.converters import folding
from keras_aqe.converters.errors import ConversionError

_IDENTITIES = (
    keras.layers.ActivityRegularization,
    keras.layers.AlphaDropout,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.Identity,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)
# Layers that only move or drop elements, so that codes stay codes.
_SELECTIONS = (
    keras.layers.Flatten,
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
    keras.layers.Permute,
    keras.layers.Reshape,
)
_REORDERINGS = (
    keras.layers.Flatten,
    keras.layers.Permute,
    keras.layers.Reshape,
)
_PREPROCESSING = (keras.layers.Normalization, keras.layers.Rescaling)
_QUANTIZED = (layers.QuantConv2D, layers.QuantDense)


@dataclasses.dataclass(eq=False)
class Node:
    """One value of the graph.

    Args:
        name: Name of the Keras layer that the value comes from.
        shape: Shape of the value, `None` for the batch.
        bits: Width of the value; 32 is plain float.
        unit: The value is `unit` times what the node's tensor holds.
        levels: The codes that the tensor can hold, ascending integers, or
            `None` where it holds floats.
        is_image: Whether the value is a network input, as it is or rescaled.
    """

    name: str
    shape: tuple
    bits: int = 32
    unit: float = 1.0
    levels: np.ndarray | None = None
    is_image: bool = False


@dataclasses.dataclass(eq=False)
class Input(Node):
    """A network input of a `dtype`."""

    dtype: str = "float32"


@dataclasses.dataclass(eq=False)
class Apply(Node):
    """An ordinary Keras operation on `args` and `kwargs` that hold nodes."""

    operation: object = None
    args: tuple = ()
    kwargs: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(eq=False)
class Quantize(Node):
    """The quantizer on a float value, with no sum to fold it into."""

    source: Node = None
    quantizer: quantizers.Quantizer = None


@dataclasses.dataclass(eq=False)
class Sum(Node):
    """The accumulators of a quantized layer, before its bias.

    The tensor is `conv(source, kernel)`; the layer's output is
    `activation(unit * tensor + bias)`.
    """

    layer: keras.layers.Layer = None
    source: Node = None
    kernel: np.ndarray = None
    weight_bits: int = 32


@dataclasses.dataclass(eq=False)
class Threshold(Node):
    """Codes from a sum: `levels[number of k with y >= thresholds[k]]`.

    `y` is the sum after `steps`, each a pooling layer or an array of ±1 per
    channel to multiply with.
    """

    source: Sum = None
    steps: list = dataclasses.field(default_factory=list)
    thresholds: np.ndarray = None


@dataclasses.dataclass
class Graph:
    """The graph of a model: its inputs and outputs, in the model's order."""

    inputs: list
    outputs: list


def build(model):
    """Builds the inference graph of a Functional or Sequential model.

    Args:
        model: A built `keras.Model` in float32.

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
    inputs = [
        Input(
            tensor.name,
            tuple(tensor.shape),
            dtype=tensor.dtype,
            is_image=True,
        )
        for tensor in functional.inputs
    ]
    outputs = keras.tree.flatten(_run(functional, inputs))
    return Graph(inputs, outputs)


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
        if layer.weights and layer.compute_dtype != "float32":
            raise ConversionError(
                f"Layer {layer.name!r} computes in {layer.compute_dtype}, but "
                "files are exact for float32 networks only. Build the model "
                "with dtype 'float32' and set its weights."
            )
        for weight in layer.weights:
            values = keras.ops.convert_to_numpy(weight)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise ConversionError(
                    f"Weight {weight.path!r} has values that are NaN or "
                    "infinite. Training diverged; go back to a checkpoint "
                    "before it did."
                )
    _check_alpha(model)


def _check_alpha(model):
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None or (
        int(keras.ops.convert_to_numpy(optimizer.iterations)) == 0
    ):
        return
    for quantizer in model._flatten_layers():
        if (
            isinstance(quantizer, quantizers.Quantizer)
            and quantizer.estimator == "aqe"
            and float(quantizer.alpha) < 1
        ):
            raise ConversionError(
                f"Training stopped at alpha = {float(quantizer.alpha):.3f} in "
                f"quantizer {quantizer.name!r}: batch normalisation has seen "
                "blended values, not the hard ones of the file. Train until "
                "alpha is 1 with `keras_aqe.callbacks.AlphaScheduler`, or call "
                "`keras_aqe.recalibrate`."
            )


def _run(functional, inputs):
    # Keras has no public way to walk a Functional model.
    return functional._run_through_graph(
        inputs, operation_fn=lambda operation: _visitor(operation)
    )


def _visitor(operation):
    def visit(*args, **kwargs):
        if isinstance(operation, keras.Model):
            return _run(_functional(operation), keras.tree.flatten(args))
        if isinstance(operation, _QUANTIZED):
            return _sum(operation, args[0])
        if isinstance(operation, layers.QuantActivation):
            return _quantize(args[0], operation.quantizer, operation.name)
        if isinstance(operation, quantizers.Quantizer):
            return _quantize(args[0], operation, operation.name)
        if _quantizers_of(operation):
            raise ConversionError(
                f"Layer {operation.name!r} of type "
                f"{type(operation).__name__} cannot be converted. Quantized "
                f"layers that can be: {[c.__name__ for c in _QUANTIZED]}."
            )
        if isinstance(operation, _IDENTITIES):
            return args[0]
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
    node = Apply(
        operation.name,
        tuple(output.shape),
        operation=operation,
        args=args,
        kwargs=kwargs,
    )
    if len(sources) == 1 and isinstance(operation, _SELECTIONS):
        node.bits = sources[0].bits
        # A sum still needs its bias, so only codes pass as codes.
        if not isinstance(sources[0], Sum):
            node.levels, node.unit = sources[0].levels, sources[0].unit
    if isinstance(operation, _PREPROCESSING):
        node.is_image = sources[0].is_image
    return node


def _spec(value):
    if not isinstance(value, Node):
        return value
    return keras.KerasTensor(value.shape, getattr(value, "dtype", "float32"))


def _sum(layer, source):
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise ConversionError(
            f"Layer {layer.name!r} has data_format='channels_first', which "
            "TFLite does not have. Use 'channels_last'."
        )
    if layer.input_quantizer is not None:
        source = _quantize(source, layer.input_quantizer, layer.name)
    quantizer = layer.kernel_quantizer
    latent = keras.ops.convert_to_numpy(layer.kernel)
    if quantizer is None:
        kernel, unit, bits = latent, 1.0, 32
    elif quantizer.bits > 8:
        kernel, unit = np.asarray(quantizer.hard(latent)), 1.0
        bits = quantizer.bits
    else:
        kernel = np.asarray(quantizer.codes(latent), "float32")
        unit, bits = quantizer.unit, quantizer.bits
    node = Sum(
        layer.name,
        tuple(layer.compute_output_shape(source.shape)),
        unit=unit * (1.0 if source.levels is None else source.unit),
        layer=layer,
        source=source,
        kernel=kernel,
        weight_bits=bits,
    )
    if source.levels is not None and quantizer is not None and bits <= 8:
        reach = np.abs(kernel).sum(axis=tuple(range(kernel.ndim - 1)))
        bound = int(reach.max() * np.abs(source.levels).max())
        node.levels = np.array([-bound, bound])
    return node


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
    chain, origin = [], source
    while isinstance(origin, Apply) and folding.is_foldable(origin.operation):
        chain.insert(0, origin.operation)
        origin = origin.args[0]
    if (
        isinstance(origin, Sum)
        and folding.is_monotone(origin.layer.activation)
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
        )
    return Quantize(
        name, source.shape, **described, source=source, quantizer=quantizer
    )
