"""What Keras does around the `call` of a layer: dtypes, masks, `training`."""

import contextlib
import dataclasses
import inspect

import keras
import tensorflow as tf

from keras_aqe.converters.errors import ConversionError
from keras_aqe.converters.graph.known import is_selection
from keras_aqe.converters.graph.nodes import Apply, Cast, Node

INTEGERS = (
    *("int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64"),
)


def cast(node, dtype):
    """A node's value in a dtype."""
    if node.dtype == dtype:
        return node
    if (
        isinstance(node, Cast)
        and node.source.dtype == dtype
        and node.source.levels is not None
        and node.source.unit == 1
        and node.dtype in INTEGERS
    ):
        return node.source  # whole numbers, as they were
    if (
        isinstance(node, Apply)
        and node.levels is None
        and node.dtype in INTEGERS
        and dtype == "float32"
        and is_selection(node.operation)
    ):
        # The order of integers stays, so they can be cast before; few
        # operators of an interpreter take them.
        args, kwargs = keras.tree.map_structure(
            lambda value: cast(value, dtype) if _is_node(value) else value,
            (node.args, node.kwargs),
        )
        return dataclasses.replace(node, dtype=dtype, args=args, kwargs=kwargs)
    return Cast(
        node.name,
        node.shape,
        dtype=dtype,
        is_image=node.is_image,
        mask=node.mask,
        source=node,
    )


def prepare(operation, args, kwargs):
    """The arguments that Keras's `__call__` hands to a layer's `call`.

    Floats come in the layer's dtype, masks are filled in, and the first
    argument is positional.

    Args:
        operation: A layer, or an operation, which gets them as they are.
        args, kwargs: What the model calls it with; tensors are nodes.

    Returns:
        A tuple and a dictionary.

    Raises:
        ConversionError: If the layer is called with `training=True`, or is
            stateful.
    """
    if not isinstance(operation, keras.layers.Layer):
        return args, kwargs
    parameters = inspect.signature(operation.call).parameters
    _check_training(operation, parameters, kwargs)
    if any(
        getattr(layer, "stateful", False) for layer in _layers_of(operation)
    ):
        raise ConversionError(
            f"Layer {operation.name!r} is stateful: it goes on from the batch "
            "before, and a file has no memory. Make it with stateful=False."
        )
    args, kwargs = keras.tree.map_structure(
        lambda value: _autocast(operation, value), (args, kwargs)
    )
    if not args:
        first = next(iter(parameters))
        kwargs = dict(kwargs)
        args = (kwargs.pop(first),)
    return args, {**kwargs, **_masks(operation, parameters, args, kwargs)}


def _check_training(layer, parameters, kwargs):
    """Refuses an explicit `training=True`.

    `model(x, training=False)` overrides it, `model(x)` does not, and what was
    meant is most likely what a file cannot do.
    """
    if not kwargs.get("training") or "training" not in parameters:
        return
    # Keras records the default of an augmentation as if it had been given.
    if parameters["training"].default is not True:
        raise ConversionError(
            f"Layer {layer.name!r} is called with training=True, but a file "
            "neither draws random numbers nor knows the statistics of its "
            "batch. Call it without `training`."
        )


def _autocast(layer, value):
    if (
        _is_node(value)
        and layer.autocast
        and keras.backend.is_float_dtype(value.dtype)
    ):
        return cast(value, layer.input_dtype)
    return value


def _masks(layer, parameters, args, kwargs):
    """Arguments for the masks that the layer's inputs have."""
    if all(node.mask is None for node in nodes_of((args, kwargs))):
        return {}
    given = inspect.signature(layer.call).bind(*args, **kwargs).arguments
    inputs = {name: value for name, value in given.items() if nodes_of(value)}
    names = {name: f"{name}_mask" for name in inputs}
    if len(inputs) == 1:
        names = dict.fromkeys(inputs, "mask")
    masks = {
        names[name]: keras.tree.map_structure(_mask, value)
        for name, value in inputs.items()
        if names[name] in parameters and given.get(names[name]) is None
    }
    return {name: mask for name, mask in masks.items() if nodes_of(mask)}


def _mask(value):
    return value.mask if _is_node(value) else None


def _is_node(value):
    return isinstance(value, Node)


def nodes_of(value):
    """All nodes in nested arguments."""
    return [v for v in keras.tree.flatten(value) if _is_node(v)]


def output_mask(layer, args, kwargs):
    """The node of the mask that Keras puts on a layer's output, or `None`.

    Args:
        layer: The layer.
        args, kwargs: What `prepare` returned.
    """
    if not getattr(layer, "supports_masking", False):
        return None
    previous = kwargs.get("mask")
    if previous is None:
        previous = keras.tree.map_structure(_mask, args[0])
    inputs, masks = keras.tree.map_structure(spec, (args[0], previous))
    output = layer.compute_mask(inputs, masks)
    if output is None:
        return None
    if output is masks:
        return previous
    if not keras.backend.is_keras_tensor(output):
        raise ConversionError(
            f"Layer {layer.name!r} returns several masks, which cannot be "
            "converted. Write it as layers that return one each."
        )
    return Apply(
        layer.name,
        tuple(output.shape),
        dtype=output.dtype,
        operation=layer.compute_mask,
        args=(args[0], previous),
    )


def spec(value):
    """A node as the Keras tensor that stands for its value."""
    if not _is_node(value):
        return value
    return keras.KerasTensor(value.shape, value.dtype)


def output_spec(operation, args, kwargs):
    """Shape and dtype of what an operation returns.

    Raises:
        ConversionError: If it returns several tensors.
    """
    specs = keras.tree.map_structure(spec, (args, kwargs))
    output = operation.compute_output_spec(*specs[0], **specs[1])
    if keras.tree.is_nested(output):
        raise ConversionError(
            f"Layer {operation.name!r} returns several tensors, which cannot "
            "be converted. Write it as layers that return one each."
        )
    dtypes = {output.dtype, *(node.dtype for node in nodes_of((args, kwargs)))}
    if dtypes == {"float32"}:
        return tuple(output.shape), "float32"
    # Many layers say that they return floats where they return integers.
    return tuple(output.shape), _traced_dtype(operation, args, kwargs)


def _traced_dtype(operation, args, kwargs):
    sources = nodes_of((args, kwargs))

    def call(*tensors):
        return apply(operation, args, kwargs, dict(zip(sources, tensors)).get)

    signature = [tf.TensorSpec(node.shape, node.dtype) for node in sources]
    traced = tf.function(call, autograph=False).get_concrete_function(
        *signature
    )
    return traced.structured_outputs.dtype.name


def apply(operation, args, kwargs, read):
    """Calls an operation at inference.

    Args:
        operation: The operation.
        args, kwargs: Its arguments; tensors are nodes.
        read: Function from a node to its tensor.
    """
    args, kwargs = keras.tree.map_structure(
        lambda value: read(value) if _is_node(value) else value,
        (args, kwargs),
    )
    if getattr(operation, "_call_has_training_arg", False):
        kwargs = {**kwargs, "training": False}
    return operation(*args, **kwargs)


@contextlib.contextmanager
def unrolled(node):
    """Lets recurrent layers write their steps out, one after the other.

    Interpreters have loops only for a batch of a size that is known.

    Args:
        node: An `Apply`, perhaps with recurrent layers inside.

    Raises:
        ConversionError: If it is not known how many steps there are.
    """
    loops = [
        layer
        for layer in _layers_of(node.operation)
        if getattr(layer, "unroll", None) is False
    ]
    if loops and node.sources()[0].shape[1] is None:
        raise ConversionError(
            f"Layer {node.name!r} is recurrent, and the length of its "
            "sequences is not known. Build the model with a `keras.Input` of "
            "a fixed length."
        )
    for layer in loops:
        layer.unroll = True
    try:
        yield
    finally:
        for layer in loops:
            layer.unroll = False


def _layers_of(operation):
    if isinstance(operation, keras.layers.Layer):
        return operation._flatten_layers()
    return ()
