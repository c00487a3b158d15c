"""What tests do with tensors, by each backend's own means."""

import keras

array = keras.ops.convert_to_numpy


def differentiate(function, x, upstream=1.0):
    """Returns `function(x)` and the gradient of its sum, as arrays.

    Args:
        function: Of one tensor, returns one.
        x: Array or tensor.
        upstream: What each result counts in the sum.
    """
    x = keras.ops.convert_to_tensor(x)
    upstream = keras.ops.convert_to_tensor(upstream, x.dtype)
    y, gradient = _BY_BACKEND[keras.backend.backend()](function, x, upstream)
    return array(y), array(gradient)


def _tensorflow(function, x, upstream):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    upstream = tf.broadcast_to(upstream, y.shape)
    return y, tape.gradient(y, x, output_gradients=upstream)


def _jax(function, x, upstream):
    import jax

    y, back = jax.vjp(function, x)
    return y, *back(jax.numpy.broadcast_to(upstream, y.shape))


def _torch(function, x, upstream):
    import torch

    x = x.requires_grad_()
    y = function(x)
    return y, *torch.autograd.grad(y, x, upstream.expand(y.shape))


_BY_BACKEND = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}


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
