"""Folds what stands between a sum and a quantizer into thresholds."""

import math

import keras
import numpy as np
import tensorflow as tf

from keras_aqe.converters.graph import thresholds
from keras_aqe.converters.graph.known import is_known, is_max_pool
from keras_aqe.converters.graph.nodes import Apply
from keras_aqe.layers import HardTanh

_MONOTONE = (
    keras.activations.elu,
    keras.activations.hard_sigmoid,
    keras.activations.hard_tanh,
    keras.activations.leaky_relu,
    keras.activations.linear,
    keras.activations.relu,
    keras.activations.relu6,
    keras.activations.selu,
    keras.activations.sigmoid,
    keras.activations.softplus,
    keras.activations.softsign,
    keras.activations.tanh,
)
# Quantizers of so many levels or fewer are written as thresholds.
MOST_LEVELS = 16


def chain_of(node, pools=True):
    """The foldable layers in a row that end in a node.

    Args:
        node: What the last of them returns.
        pools: Whether max pools may be among them.

    Returns:
        The layers, in order, and the node that the first is on.
    """
    chain = []
    while (
        isinstance(node, Apply)
        and is_foldable(node.operation)
        and node.args[0].dtype == "float32"
        and (pools or not is_max_pool(node.operation))
    ):
        chain.insert(0, node.operation)
        node = node.args[0]
    return chain, node


def is_foldable(operation):
    """Whether a layer is a max pool or monotone in each channel alone."""
    if is_known(operation, (keras.layers.Activation,)):
        return is_monotone(operation.activation)
    return (
        is_batch_norm(operation)
        or is_max_pool(operation)
        or is_known(operation, (HardTanh, keras.layers.ReLU))
    )


def is_hard_tanh(operation):
    """Whether a layer limits values to [-1, 1] and does nothing else."""
    if is_known(operation, (keras.layers.Activation,)):
        return operation.activation is keras.activations.hard_tanh
    return is_known(operation, (HardTanh,))


def limits(operation):
    """The least and the greatest value of a layer that limits values.

    `None` of a layer that does anything else.
    """
    if is_hard_tanh(operation):
        return -1.0, 1.0
    if is_known(operation, (keras.layers.Activation,)):
        if operation.activation is keras.activations.relu:
            return 0.0, math.inf
        if operation.activation is keras.activations.relu6:
            return 0.0, 6.0
    if is_known(operation, (keras.layers.ReLU,)) and not (
        operation.negative_slope or operation.threshold
    ):
        most = operation.max_value
        return 0.0, math.inf if most is None else float(most)
    return None


def is_batch_norm(operation):
    """Whether a layer is batch normalisation of the last axis."""
    return is_known(operation, (keras.layers.BatchNormalization,)) and (
        operation.axis in (-1, operation.input_spec.ndim - 1)
    )


def scale_and_bias(batch_norm):
    """The two numbers per channel that inference multiplies with and adds.

    They are computed as `tf.nn.batch_normalization` does, so that
    `x * scale + bias` is its result to the bit.
    """
    with tf.init_scope():
        # Keras's variables compute, too, but take twice as long.
        read = tf.convert_to_tensor
        variance = read(batch_norm.moving_variance)
        scale = tf.math.rsqrt(variance + batch_norm.epsilon)
        if batch_norm.scale:
            scale = scale * read(batch_norm.gamma)
        bias = -read(batch_norm.moving_mean) * scale
        if batch_norm.center:
            bias = read(batch_norm.beta) + bias
        return scale.numpy(), bias.numpy()


def power_of_two(operation):
    """The factor of a layer that multiplies by a power of two, or `None`."""
    if not is_known(operation, (keras.layers.Rescaling,)) or (
        np.shape(operation.scale) not in ((), (1,)) or np.any(operation.offset)
    ):
        return None
    scale = float(np.ravel(operation.scale)[0])
    # Beyond that, products would leave float32's range.
    usual = 2.0**-32 <= scale <= 2.0**32
    return scale if usual and np.log2(scale).is_integer() else None


def is_monotone(activation):
    """Whether an activation function is known never to fall."""
    return activation is None or any(activation is f for f in _MONOTONE)


def fold(node, chain, quantizer):
    """Finds where the quantizer's code changes along a sum's accumulator.

    The Keras layers themselves are evaluated, in their own float32
    arithmetic, so that comparing the accumulator with a threshold gives the
    code that they give, for every accumulator that can be reached.

    Args:
        node: The `graph.Sum`.
        chain: Foldable layers after it, in order.
        quantizer: The quantizer after them.

    Returns:
        The steps to do on the accumulators (pooling layers, and ±1 per
        channel to multiply with), and the thresholds, shape
        `(len(levels) - 1, channels)`, ascending; a threshold that no
        accumulator reaches is beyond all of them. Integer sums get integer
        thresholds.
    """
    functions = [lambda x: _layer_output(node, x)]
    direction = np.ones(node.kernel.shape[-1], "float32")
    steps = []
    for layer in chain:
        if is_max_pool(layer):
            # Pooling keeps the largest, so a falling channel is turned first.
            turn = direction * _direction(node.shape, node.levels, functions)
            direction = _turn(steps, turn, direction)
            steps.append(layer)
        else:
            functions.append(_inference(layer))
    last, found = thresholds.search(
        node.shape, node.levels, functions, quantizer
    )
    _turn(steps, direction * last, direction)
    return steps, found


def fold_floats(chain, quantizer, shape):
    """`fold` where no sum but a float is in front of the chain.

    Args:
        chain: Foldable layers without pooling, in order.
        quantizer: The quantizer after them.
        shape: Shape of the float.

    Returns:
        ±1 per channel, and the thresholds of the float times that.
    """
    return thresholds.search(shape, None, [*map(_inference, chain)], quantizer)


def fold_number(number, chain, quantizer, channels):
    """The code that a chain and a quantizer make of one number everywhere.

    Args:
        number: The number.
        chain: Foldable layers without pooling, in order.
        quantizer: The quantizer after them.
        channels: How many channels the chain was built for.

    Returns:
        The code, `None` if it is not the same in all channels.
    """
    functions = [*map(_inference, chain), quantizer.hard]
    number = np.full((1, channels), number, "float32")
    values = np.unique(thresholds.evaluate(number.shape, functions, number))
    if len(values) > 1:
        return None
    return float(np.rint(values[0] / quantizer.unit))


def fold_average(pool, size, unit, levels, chain, quantizer, shape):
    """`fold` where the sum is that of an average pool of codes.

    Args:
        pool: The pooling layer, without padding.
        size: Size of its window, a number for each axis.
        unit: Unit of the codes.
        levels: The least and the largest sum.
        chain: Foldable layers without pooling, in order.
        quantizer: The quantizer after them.
        shape: Shape of the averages.

    Returns:
        ±1 per channel, and the thresholds of the sum of codes times that.
    """

    def average(total):
        # The layer itself divides: all of the sum stands in one place.
        x = tf.reshape(total, (-1, *[1] * len(size), shape[-1]))
        x = tf.pad(x, [(0, 0), *[(0, n - 1) for n in size], (0, 0)])
        return tf.reshape(pool(x * unit), total.shape)

    functions = [average, *map(_inference, chain)]
    return thresholds.search(shape, levels, functions, quantizer)


def _inference(layer):
    """What a layer computes, batch normalisation in two operations."""
    if not is_batch_norm(layer):
        return layer.call
    scale, bias = scale_and_bias(layer)
    return lambda x: x * scale + bias


def _turn(steps, turn, direction):
    if (turn < 0).any():
        steps.append(turn)
    return direction * turn


def _layer_output(node, accumulator):
    x = tf.cast(accumulator, tf.float64)
    if node.offset is not None:
        x = x + node.offset
    # Units of images are no powers of two.
    x = tf.cast(x * node.unit, tf.float32)
    if node.bias is not None:
        x = x + node.bias
    return x if node.activation is None else node.activation(x)


def _direction(shape, levels, functions):
    """+1 or -1 per channel: whether the chain rises or falls."""
    limit = thresholds.limit_of(levels)
    ends = np.array([[-limit], [limit]], "float32")
    ends = np.broadcast_to(ends, (2, shape[-1]))
    low, high = thresholds.evaluate(shape, functions, ends)
    return np.where(high < low, -1, 1).astype("float32")
