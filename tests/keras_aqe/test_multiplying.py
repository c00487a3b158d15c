"""How often kernels are used, against the gradient of a sum of ones."""

import keras
import numpy as np
import pytest

from keras_aqe import backend
from keras_aqe.multiplying import MULTIPLYING, kernels, positions
from tests.keras_aqe.tensors import array

K = keras.layers
# Layers, shapes of their inputs, and what the last kernel multiplies: ones, or
# sums of ones over the window of the kernel in front.
CASES = [
    (K.Conv1D(2, 3, strides=2), (9, 3), 1),
    (K.Conv2D(2, (3, 2)), (7, 5, 3), 1),
    (K.Conv3D(2, 2), (3, 4, 5, 2), 1),
    (K.Conv2DTranspose(2, 3, strides=2), (3, 4, 2), 1),
    (K.Dense(3), (2, 4), 1),
    (K.DepthwiseConv2D(3, depth_multiplier=2), (5, 6, 2), 1),
    (K.SeparableConv2D(3, 2), (4, 5, 2), 2 * 2),
]


@pytest.mark.parametrize(
    "layer, shape, factor",
    CASES,
    ids=[type(case[0]).__name__ for case in CASES],
)
def test_each_weight_is_used_at_each_position(layer, shape, factor):
    assert isinstance(layer, MULTIPLYING)
    x = np.ones((1, *shape), "float32")
    y = layer(x)
    variables = layer.trainable_variables
    for kernel in kernels(layer):
        kernel.assign(np.ones(kernel.shape))
    counted = kernels(layer)[-1]

    def run(kernel):
        return layer.stateless_call(
            [kernel if v is counted else v.value for v in variables], [], x
        )[0]

    gradient = backend.gradient(run, array(counted))
    used = positions(layer, x.shape, y.shape)
    np.testing.assert_array_equal(
        gradient, np.full(gradient.shape, used * factor)
    )


def test_the_batch_may_be_open_and_nothing_else():
    layer = K.Conv2D(2, 3)
    assert positions(layer, (None, 8, 8, 3), (None, 6, 6, 2)) == 36
    with pytest.raises(ValueError, match="fixed size"):
        positions(layer, (None, None, 8, 3), (None, None, 6, 2))


def test_channels_may_come_first():
    layer = K.Conv2D(2, 3, data_format="channels_first")
    assert positions(layer, (1, 3, 8, 7), (1, 2, 6, 5)) == 30
