"""Writes files with operators that TensorFlow does not have."""

import contextlib
import dataclasses
import re

import tensorflow as tf
from tensorflow.lite.python import convert
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2_as_graph,
)

from keras_aqe.converters.file.builtin_ops import Constant, Graph
from keras_aqe_runtime.file import flatbuffer
from keras_aqe_runtime.file.flatbuffer import schema

# Begins the names of outputs that only tell where a tensor is.
INNER = "tensor_"
# An operator of TensorFlow that takes and returns tensors of any types.
_PLACEHOLDER = "PyFuncStateless"
# A graph's list of the operators that belong in the place of some. The token
# of such a placeholder is the list's name and a number of it.
_WRITTEN = "keras_aqe_"


def custom_op(name, inputs, shape, dtype, options):
    """Writes a tensor that one custom TFLite operator computes.

    Only `to_model` knows what to make of it; TensorFlow itself cannot
    compute it. The tensor in the file is named after the name scope.

    Args:
        name: The operator's custom name in the file.
        inputs: Tensors and NumPy arrays; arrays are constants of the file.
        shape: Shape of the result, `None` where it is not known; in front
            it is the batch, that of the first tensor.
        dtype: Type of the result.
        options: A dict from strings to integers, the operator's
            `custom_options` as a flexbuffer map.

    Returns:
        A `tf.Tensor`.

    Example:

    ```python
    @tf.function(input_signature=[tf.TensorSpec((None, 4))])
    def infer(x):
        scale = np.ones(4, "float32")
        return custom_op("Scale", [x, scale], (None, 4), x.dtype, {"axis": 1})

    model, _ = to_model(infer)
    ```
    """
    (result,) = custom_op_outputs(name, inputs, [(shape, dtype)], options)
    return result


def custom_op_outputs(name, inputs, results, options):
    """`custom_op` of an operator with several outputs.

    Args:
        name, inputs, options: See there.
        results: Shape and type of each output.

    Returns:
        A list of `tf.Tensor`s.
    """
    tensors = [x for x in inputs if tf.is_tensor(x)]
    written = tf.compat.v1.get_default_graph().get_collection_ref(_WRITTEN)
    outputs = getattr(tf.raw_ops, _PLACEHOLDER)(
        input=tensors,
        token=f"{_WRITTEN}{len(written)}",
        Tout=[dtype for _, dtype in results],
    )
    for output, (shape, _) in zip(outputs, results):
        batch = tensors[0].shape[0] if shape[0] is None else shape[0]
        output.set_shape((batch, *shape[1:]))
    constants = [None if tf.is_tensor(x) else x for x in inputs]
    scope = tf.get_current_name_scope()
    written.append(_Written(name, constants, options, scope, outputs))
    return outputs


@dataclasses.dataclass(frozen=True)
class _Written:
    """A custom operator that a graph has a placeholder for.

    Args:
        name: Its name in the file.
        constants: For each of its inputs a NumPy array, or `None` for the
            next one of the placeholder.
        options: A dict from strings to integers.
        scope: The name scope that it was written in.
        outputs: The tensors that the placeholder returns.
    """

    name: str
    constants: list
    options: dict
    scope: str
    outputs: list


def to_model(function):
    """Converts a function of one signature, its custom operators too.

    The order of inputs and outputs is that of their names.

    Args:
        function: A `tf.function` with an `input_signature`, which returns a
            dictionary, or one tensor. Outputs whose names begin with `INNER`
            do not become outputs of the file.

    Raises:
        tf.errors.UnimplementedError: If the function changes a variable.

    Returns:
        The parsed .tflite file, as from `flatbuffer.read`, and the indices of
        the tensors of those outputs, by name.
    """
    with _functions_as_graphs():
        concrete = function.get_concrete_function()
    definition = _without_captures(concrete)
    written = concrete.graph.get_collection(_WRITTEN)
    _make_composites(definition, written)
    captured = len(concrete.graph.captures)
    inputs = concrete.inputs[: len(concrete.inputs) - captured]
    inputs = _sorted({tensor.op.name: tensor for tensor in inputs})
    outputs = concrete.structured_outputs
    if not isinstance(outputs, dict):
        outputs = {"output_0": outputs}
    outputs = _sorted(outputs)
    # As `tf.lite.TFLiteConverter` does, but without grappler, whose work is
    # the converter's as well, and a SavedModel.
    model = flatbuffer.read(
        convert.convert_graphdef(
            definition,
            list(inputs.values()),
            list(outputs.values()),
            allow_custom_ops=True,
            enable_composite_direct_lowering=True,
        )
    )
    graph = model.subgraphs[0]
    indices = dict(zip(outputs, map(int, graph.outputs), strict=True))
    inner = {k: v for k, v in indices.items() if k.startswith(INNER)}
    indices = {k: v for k, v in indices.items() if k not in inner}
    graph.outputs = list(indices.values())
    model.signatureDefs = [
        _signature(dict(zip(inputs, graph.inputs, strict=True)), indices)
    ]
    _put_operators(model, written)
    _share_constants(model)
    return model, inner


def _without_captures(concrete):
    """The `GraphDef` of a function, with constants for what it captures.

    Raises:
        tf.errors.UnimplementedError: If it changes a variable.
    """
    captures = concrete.graph.captures
    held = {inner.op.name: outer for outer, inner in captures}
    definition = concrete.graph.as_graph_def(add_shapes=True)
    for node in definition.node:
        if re.fullmatch(r"Assign\w*VariableOp", node.op):
            # In the words of TensorFlow's converter.
            said = f"'tf.{node.op}' op is in {node.name}"
            raise tf.errors.UnimplementedError(node, None, said)
    if any(
        held[name].dtype == tf.resource
        for node in definition.node
        for name in held.keys() & set(node.input)
        if node.op != "ReadVariableOp"
    ):
        # Loops and functions read variables, too. This takes long.
        _, definition = convert_variables_to_constants_v2_as_graph(
            concrete, lower_control_flow=False
        )
    for node in definition.node:
        is_read = node.op == "ReadVariableOp"
        tensor = held.get(node.input[0] if is_read else node.name)
        if node.op not in ("Placeholder", "ReadVariableOp") or tensor is None:
            continue
        if is_read:
            dtype = tf.as_dtype(node.attr["dtype"].type)
            tensor = tf.raw_ops.ReadVariableOp(resource=tensor, dtype=dtype)
        elif tensor.dtype == tf.resource:
            continue
        node.op = "Const"
        del node.input[:]
        node.attr.clear()
        node.attr["dtype"].type = tensor.dtype.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(tensor))
    return definition


def _make_composites(definition, written):
    """Makes calls of the placeholders in a `GraphDef`.

    TensorFlow's converter takes a function that says so for a custom operator.
    """
    for node in definition.node:
        if node.op != _PLACEHOLDER:
            continue
        token = node.attr["token"].s.decode()
        if not token.startswith(_WRITTEN):
            continue  # the user's own
        function = definition.library.function.add()
        function.signature.name = token
        implemented = function.attr["_implements"].func
        implemented.name = token
        implemented.attr["tfl_fusable_op"].b = True
        for number, dtype in enumerate(node.attr["Tin"].list.type):
            argument = function.signature.input_arg.add()
            argument.name, argument.type = f"x{number}", dtype
        # It is never run, so results may come from nowhere.
        custom = written[int(token.removeprefix(_WRITTEN))]
        for number, output in enumerate(custom.outputs):
            result = function.signature.output_arg.add()
            result.name = f"y{number}"
            result.type = output.dtype.as_datatype_enum
            source = function.node_def.add()
            source.name, source.op = f"source{number}", "Placeholder"
            source.attr["dtype"].type = result.type
            source.attr["shape"].shape.CopyFrom(output.shape.as_proto())
            function.ret[result.name] = f"{source.name}:output:0"
        node.op = "PartitionedCall"
        del node.attr["token"]
        node.attr["f"].func.name = function.signature.name


def _sorted(named):
    return dict(sorted(named.items()))


def _put_operators(model, written):
    """Puts custom operators in the place of their placeholders."""
    graph, constants = Graph(model), {}
    names, first = flatbuffer.operator_names(model), model.subgraphs[0]
    for name, operator in zip(names, first.operators):
        if not name.startswith(_WRITTEN):
            continue
        custom = written[int(name.removeprefix(_WRITTEN))]
        inputs, tensors = [], iter(operator.inputs)
        for values in custom.constants:
            if values is None:
                inputs.append(next(tensors))
                continue
            key = values.dtype, values.shape, values.tobytes()
            if key not in constants:
                constant = Constant(values, name=f"{custom.scope}/const")
                constants[key] = graph.constant(constant)
            inputs.append(constants[key])
        operator.inputs = inputs
        graph.make_custom(operator, custom.name, custom.options)
        for output in operator.outputs:
            # Those of the whole model keep theirs.
            if output not in first.outputs:
                name = f"{custom.scope}/{custom.name}"
                first.tensors[output].name = name.encode()
    graph.drop_unused_codes()


def _signature(inputs, outputs):
    """What names a file's inputs and outputs.

    Args:
        inputs, outputs: Indices of tensors, by name.
    """
    signature = schema.SignatureDefT()
    signature.signatureKey = b"serving_default"
    signature.subgraphIndex = 0
    signature.inputs = _entries(inputs)
    signature.outputs = _entries(outputs)
    return signature


def _entries(indices):
    entries = []
    for name, index in indices.items():
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), index
        entries.append(entry)
    return entries


def _share_constants(model):
    """Lets constants of equal bytes be one, and leaves the others empty."""
    tensors = [t for graph in model.subgraphs for t in graph.tensors]
    outputs = {
        graph.tensors[index].buffer
        for graph in model.subgraphs
        for index in graph.outputs
    }
    first, places = {}, {}
    # Several tensors may have one buffer already.
    for number in sorted({tensor.buffer for tensor in tensors} - outputs):
        data = model.buffers[number].data
        if data is not None and len(data):
            places[number] = first.setdefault(data.tobytes(), number)
    for tensor in tensors:
        tensor.buffer = places.get(tensor.buffer, tensor.buffer)
    for number in places.keys() - first.values():
        model.buffers[number].data = None


@contextlib.contextmanager
def _functions_as_graphs():
    """Eager functions would run the bodies of custom operators."""
    eagerly = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(False)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(eagerly)
