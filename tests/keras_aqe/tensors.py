"""What tests do with tensors, whatever the backend."""

import keras

from keras_aqe import backend

array = keras.ops.convert_to_numpy


def differentiate(function, x, upstream=1.0):
    """Returns `function(x)` and the gradient of its sum, as arrays.

    Args:
        function: Of one tensor, returns one.
        x: Array.
        upstream: What each result counts in the sum.
    """
    upstream = keras.ops.convert_to_tensor(upstream, "float32")
    gradient = backend.gradient(lambda x: function(x) * upstream, x)
    return array(function(keras.ops.convert_to_tensor(x))), gradient


def compiled(function, jit_compile=False):
    """A function of tensors as a step of `fit` would run it.

    PyTorch runs it as it is.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=jit_compile)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function
