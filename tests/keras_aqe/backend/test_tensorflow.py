"""The package under the TensorFlow backend."""

import keras
import numpy as np
import tensorflow as tf

from keras_aqe import backend


def test_an_estimator_is_one_kernel_in_a_graph():
    def call(x):
        return backend.with_gradient(tf.sign, lambda x, dy: dy, x)

    graph = tf.function(call).get_concrete_function(tf.TensorSpec((4,)))
    functions = graph.graph.as_graph_def().library.function
    assert any("_XlaMustCompile" in f.attr for f in functions)


def test_one_device_has_no_strategy(mirrored):
    with mirrored.scope():
        assert not backend.on_one_device(tf.distribute.has_strategy)
        assert tf.distribute.has_strategy()


def test_setter_sets_variables():
    variables = [keras.Variable(0.5), keras.Variable(0.25)]
    backend.setter(keras.Model(), variables)(0.75)
    np.testing.assert_array_equal(variables, 0.75)
