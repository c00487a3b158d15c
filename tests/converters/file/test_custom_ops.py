"""Custom operators in the file that TensorFlow's converter makes of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from flatbuffers import flexbuffers

from keras_aqe.converters.file.custom_ops import INNER, custom_op, to_model
from keras_aqe_runtime import Interpreter
from keras_aqe_runtime.file import flatbuffer

FACTORS = np.array([2.0, 3.0, 5.0, 7.0], "float32")
SPEC = tf.TensorSpec((None, 4), tf.float32)


def scaled(x, name="Scale", **options):
    return custom_op(name, [x, FACTORS], (None, 4), x.dtype, options)


def names(graph, indices):
    return [graph.tensors[index].name.decode() for index in indices]


def test_an_operator_keeps_name_constants_and_options():
    @tf.function(input_signature=[SPEC])
    def infer(x):
        return scaled(x, axis=1, negative=-3)

    model, inner = to_model(infer)
    assert inner == {}
    (graph,) = model.subgraphs
    (operator,) = graph.operators
    assert flatbuffer.operator_names(model) == ["Scale"]
    options = flexbuffers.Loads(bytes(bytearray(operator.customOptions)))
    assert options == {"axis": 1, "negative": -3}
    source, constant = operator.inputs
    assert list(graph.inputs) == [source]
    assert list(graph.outputs) == list(operator.outputs)
    data = model.buffers[graph.tensors[constant].buffer].data
    np.testing.assert_array_equal(np.frombuffer(data, "<f4"), FACTORS)


def test_equal_operators_stay_two_where_their_options_differ():
    @tf.function(input_signature=[SPEC])
    def infer(x):
        return scaled(scaled(x, axis=1), axis=2) + scaled(x, "Other")

    model, _ = to_model(infer)
    found = flatbuffer.operator_names(model)
    assert sorted(found) == ["ADD", "Other", "Scale", "Scale"]


def test_constants_of_equal_bytes_are_one():
    """Of whatever shape, but none that is an output."""

    @tf.function(input_signature=[SPEC])
    def infer(x):
        row = custom_op("Row", [x, FACTORS[None]], (None, 4), x.dtype, {})
        return {"y": scaled(row), "z": FACTORS[:, None]}

    model, _ = to_model(infer)
    graph = model.subgraphs[0]
    held = {
        tuple(tensor.shape): tensor.buffer
        for tensor in graph.tensors
        if data_of(model, tensor) == FACTORS.tobytes()
    }
    assert held[4,] == held[1, 4] != held[4, 1]


def test_loops_keep_their_constants():
    """Tensors of several graphs, which are of one buffer or of equal ones."""

    @tf.function(input_signature=[SPEC])
    def infer(x):
        return tf.scan(lambda total, row: total + row, x)

    model, _ = to_model(infer)
    x = np.arange(12, dtype="float32").reshape(3, 4)
    interpreter = Interpreter(flatbuffer.write(model))
    np.testing.assert_array_equal(interpreter.predict(x), x.cumsum(axis=0))


# What a function may read beside its arguments, each of its four factors.
CAPTURED = {
    "a variable": lambda: tf.Variable(FACTORS),
    "Keras's variable": lambda: keras.Variable(FACTORS),
    "a tensor": lambda: tf.repeat(tf.constant(FACTORS)[None], 100, axis=0)[7],
}


@pytest.mark.parametrize("name", CAPTURED)
def test_what_is_captured_is_constant(name):
    """Also inside of loops, and of functions that were traced before."""
    captured = CAPTURED[name]()

    @tf.function
    def product(x):
        return x * captured

    product(tf.ones((3, 4)))

    @tf.function(input_signature=[tf.TensorSpec((3, 4), tf.float32)])
    def infer(x):
        return {
            "direct": x * captured,
            "function": product(x),
            "loop": tf.scan(
                lambda total, row: total + row * captured, x, tf.zeros(4)
            ),
        }

    model, _ = to_model(infer)
    x = np.arange(12, dtype="float32").reshape(3, 4)
    found = Interpreter(flatbuffer.write(model)).predict(x)
    for ours, theirs in zip(found, (x, x, x.cumsum(axis=0)), strict=True):
        np.testing.assert_array_equal(ours, theirs * FACTORS)


def test_operators_stand_beside_loops_that_read_variables():
    captured = keras.Variable(FACTORS)

    @tf.function(input_signature=[tf.TensorSpec((3, 4), tf.float32)])
    def infer(x):
        summed = tf.scan(lambda total, row: total + row * captured, x)
        return {"y": scaled(summed, axis=1), "z": scaled(x, axis=2)}

    model, _ = to_model(infer)
    names = flatbuffer.operator_names(model)
    assert names.count("Scale") == 2 and names.count("WHILE") == 1
    graph = model.subgraphs[0]
    for index in graph.outputs:
        assert list(graph.tensors[index].shape) == [3, 4]


def test_functions_still_read_variables_after():
    captured = keras.Variable(FACTORS)

    @tf.function
    def product(x):
        return x * captured

    to_model(tf.function(lambda x: product(x), input_signature=[SPEC]))
    captured.assign(2 * FACTORS)
    for x in (tf.ones((3, 4)), tf.ones((2, 4))):
        np.testing.assert_array_equal(product(x), x * 2 * FACTORS)


def data_of(model, tensor):
    data = model.buffers[tensor.buffer].data
    return b"" if data is None else bytes(bytearray(data))


def test_inputs_and_outputs_are_in_the_order_of_their_names():
    """Beside inner ones, which only tell where a tensor is."""

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, 4), tf.float32, name=name) for name in "ba"
        ]
    )
    def infer(b, a):
        with tf.name_scope("n7"):
            between = scaled(b)
        return {"z": between + a, "y": a * 2.0, f"{INNER}0": between}

    model, inner = to_model(infer)
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    entries = {e.name.decode(): e.tensorIndex for e in signature.inputs}
    assert list(graph.inputs) == [entries["a"], entries["b"]]
    entries = {e.name.decode(): e.tensorIndex for e in signature.outputs}
    assert set(entries) == {"y", "z"}
    assert list(graph.outputs) == [entries["y"], entries["z"]]
    (operator,) = [o for o in graph.operators if o.customOptions is not None]
    assert inner == {f"{INNER}0": operator.outputs[0]}
    assert names(graph, operator.outputs)[0].startswith("n7/")


def test_functions_that_run_eagerly_stay_so():
    tf.config.run_functions_eagerly(True)
    try:

        @tf.function(input_signature=[SPEC])
        def infer(x):
            return scaled(x)

        model, _ = to_model(infer)
        assert flatbuffer.operator_names(model) == ["Scale"]
        assert tf.config.functions_run_eagerly()
    finally:
        tf.config.run_functions_eagerly(False)
