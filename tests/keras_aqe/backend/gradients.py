"""Gradients by the backend that runs."""

import keras
import numpy as np


def gradient(function, x):
    """`d sum(function(x)) / dx`, NumPy to NumPy."""
    return np.asarray(_OF[keras.backend.backend()](function, x))


def _by_tensorflow(function, x):
    import tensorflow as tf

    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(function(x))
    return tape.gradient(total, x)


def _by_jax(function, x):
    import jax

    return jax.jit(jax.grad(lambda x: function(x).sum()))(x)


def _by_torch(function, x):
    import torch

    x = torch.tensor(x, requires_grad=True)
    function(x).sum().backward()
    return x.grad


_OF = {"tensorflow": _by_tensorflow, "jax": _by_jax, "torch": _by_torch}
