"""Custom TFLite operators written from TensorFlow."""

import contextlib
import functools
import re
import tempfile

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import convert

from keras_aqe_runtime.file import flatbuffer

# Begins a constant that no operator of the finished file has: see `custom_op`.
_SCOPE = b"scope:"
# Begins the names of outputs that only tell where a tensor is.
INNER = "tensor_"


def custom_op(name, inputs, shape, dtype, options):
    """Writes a tensor that one custom TFLite operator computes.

    Only `to_model` knows what to make of it; TensorFlow itself cannot
    compute it. The tensor in the file is named after the name scope.

    Args:
        name: The operator's custom name in the file.
        inputs: Tensors and NumPy arrays; arrays stay constants of the file.
        shape: Shape of the result, `None` where it is not known; in front
            it is the batch, that of the first input.
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
    attributes = "".join(
        f' attr {{ key: "{key}" value {{ i: {int(value)} }} }}'
        for key, value in options.items()
    )
    implements = (
        f'name: "{name}" attr {{ key: "tfl_fusable_op" '
        f"value {{ b: true }} }}{attributes}"
    )
    # The converter drops the scope, so it comes as a constant.
    scope = _SCOPE + tf.get_current_name_scope().encode()
    inputs = [*inputs, np.frombuffer(scope, "uint8")]
    tensors = [tf.convert_to_tensor(x) for x in inputs]
    batch = tensors[0].shape[0]
    results = tuple(
        ((batch if shape[0] is None else shape[0], *shape[1:]), dtype)
        for shape, dtype in results
    )
    return _composite(implements, results)(*tensors)


# Like layers of a deep network share one, which is traced and saved once.
@functools.lru_cache(maxsize=64)
def _composite(implements, results):
    """The function that the converter takes for a custom operator."""

    @tf.function(autograph=False, experimental_implements=implements)
    def composite(*tensors):
        # It is never run, and small bodies are traced and saved fast.
        return [
            tf.raw_ops.Placeholder(dtype=dtype, shape=shape)
            for shape, dtype in results
        ]

    return composite


def to_model(function):
    """Converts a function of one signature, its custom operators too.

    The order of inputs and outputs is that of their names.

    Args:
        function: A `tf.function` with an `input_signature`. Outputs whose
            names begin with `INNER` do not become outputs of the file.

    Raises:
        OSError: If the SavedModel that TensorFlow's converter goes by cannot
            be written.

    Returns:
        The parsed .tflite file, as from `flatbuffer.read`, and the indices of
        the tensors of those outputs, by name.
    """
    module = tf.Module()
    with _functions_as_graphs():
        # As a function of one signature, which is not traced again.
        module.infer = concrete = function.get_concrete_function()
        # A SavedModel only takes variables that its module knows of, and takes
        # long for those that were only looked at.
        read = {id(tensor) for tensor, _ in concrete.graph.captures}
        module.weights = [v for v in concrete.variables if id(v.handle) in read]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            _save(module, folder)
            model = flatbuffer.read(_converted(folder))
    _share_constants(model)
    inner = _take_inner(model)
    _sort_by_signature(model)
    number = _name_results(model)
    return model, {name: number[index] for name, index in inner.items()}


def _save(module, folder):
    """Saves a module, whose `infer` is its signature, as a SavedModel."""
    try:
        tf.saved_model.save(
            module,
            folder,
            signatures=module.infer,
            # Errors of the converter name the operators that it has.
            options=tf.saved_model.SaveOptions(save_debug_info=True),
        )
    except tf.errors.OpError as error:
        # Between names of TensorFlow's operators.
        raise OSError(
            re.sub(r"\{\{.*?\}\} | \[Op:\w+\]", "", error.message)
        ) from error


def _converted(folder):
    """The bytes that TensorFlow's converter makes of a SavedModel.

    As `tf.lite.TFLiteConverter.from_saved_model` does, which reads what was
    saved back into Python before, and parses and writes its file twice more.
    """
    return convert.convert_saved_model(
        saved_model_dir=folder,
        saved_model_version=1,
        saved_model_tags={tf.saved_model.SERVING},
        saved_model_exported_names=[
            tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
        ],
        allow_custom_ops=True,
        enable_composite_direct_lowering=True,
    )


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


def _take_inner(model):
    signature = model.signatureDefs[0]
    inner = {
        entry.name.decode(): entry.tensorIndex
        for entry in signature.outputs
        if entry.name.decode().startswith(INNER)
    }
    signature.outputs = [
        entry for entry in signature.outputs if entry.name.decode() not in inner
    ]
    return inner


@contextlib.contextmanager
def _functions_as_graphs():
    """Eager functions would run the bodies of custom operators."""
    eagerly = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(False)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(eagerly)


def _sort_by_signature(model):
    """Interpreters go by the lists, which are in an order of their own."""
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    graph.inputs = _indices(signature.inputs)
    graph.outputs = _indices(signature.outputs)


def _indices(entries):
    entries = sorted(entries, key=lambda entry: entry.name)
    return [entry.tensorIndex for entry in entries]


def _name_results(model):
    """Names the results of custom operators after their scopes.

    Returns:
        What `_drop_tensors` does.
    """
    graph, dropped = model.subgraphs[0], set()
    for operator in graph.operators:
        scope = _scope_of(model, operator)
        if scope is None:
            continue
        dropped.add(operator.inputs[-1])
        operator.inputs = operator.inputs[:-1]
        for output in operator.outputs:
            # Those of the whole model keep theirs.
            if output not in graph.outputs:
                tensor = graph.tensors[output]
                tensor.name = scope + b"/" + tensor.name
    return _drop_tensors(model, dropped)


def _scope_of(model, operator):
    """The scope that an operator was written in, if by `custom_op`."""
    if not len(operator.inputs) or operator.inputs[-1] < 0:
        return None
    tensor = model.subgraphs[0].tensors[operator.inputs[-1]]
    data = model.buffers[tensor.buffer].data
    content = b"" if data is None else bytes(bytearray(data[: len(_SCOPE)]))
    if content != _SCOPE:
        return None
    return bytes(bytearray(data[len(_SCOPE) :]))


def _drop_tensors(model, indices):
    """Takes tensors that nothing reads out of a parsed file's first graph.

    Args:
        model: The file, as TensorFlow's converter wrote it.
        indices: Indices of the tensors.

    Returns:
        A dictionary from the old indices of the others to the new ones.
    """
    graph = model.subgraphs[0]
    buffers = {graph.tensors[index].buffer for index in indices}
    number = _renumbered(len(graph.tensors), indices)
    for operator in graph.operators:
        operator.inputs = [number[index] for index in operator.inputs]
        operator.outputs = [number[index] for index in operator.outputs]
    graph.inputs = [number[index] for index in graph.inputs]
    graph.outputs = [number[index] for index in graph.outputs]
    for signature in model.signatureDefs:
        for entry in (*signature.inputs, *signature.outputs):
            entry.tensorIndex = number[entry.tensorIndex]
    graph.tensors = [t for i, t in enumerate(graph.tensors) if i not in indices]
    place = _renumbered(len(model.buffers), buffers)
    for user in (
        *(tensor for g in model.subgraphs for tensor in g.tensors),
        *(model.metadata or []),
    ):
        user.buffer = place[user.buffer]
    model.buffers = [b for i, b in enumerate(model.buffers) if i not in buffers]
    return number


def _renumbered(count, dropped):
    """New numbers for old ones; that of no tensor stays."""
    kept = [index for index in range(count) if index not in dropped]
    return {-1: -1, **{old: new for new, old in enumerate(kept)}}
