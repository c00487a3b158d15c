"""Operators on int8, as TFLite's schema wants them."""

import keras
import numpy as np
import pytest

from keras_aqe.converters.graph.nodes import Window
from keras_aqe.converters.targets.builtin import int8
from keras_aqe_runtime.file.flatbuffer import schema

WINDOW = Window((2, 1), (1, 3), ((0, 0), (0, 0)))


def integers(kernel, **arguments):
    channels = kernel.shape[-1]
    return int8.sum_of_products(
        kernel,
        "kernel",
        scale=0.5,
        input_scale=0.25,
        multipliers=np.arange(1.0, channels + 1),
        biases=np.arange(channels),
        **arguments,
    )


@pytest.mark.parametrize(
    "shape, groups, name, layout",
    [
        ((3, 2, 4, 6), 1, "CONV_2D", (3, 0, 1, 2)),
        ((3, 2, 2, 6), 2, "CONV_2D", (3, 0, 1, 2)),
        ((3, 2, 1, 6), 3, "DEPTHWISE_CONV_2D", (2, 0, 1, 3)),
    ],
)
def test_a_convolution(shape, groups, name, layout):
    kernel = np.arange(np.prod(shape)).reshape(shape) % 7 - 3
    operator = integers(kernel, window=WINDOW, padding="SAME", groups=groups)
    weights, bias = operator.constants
    assert operator.name == name
    assert weights.values.dtype == np.int8
    np.testing.assert_array_equal(weights.values, kernel.transpose(layout))
    assert weights.values.shape[weights.axis] == shape[-1]
    # What an interpreter multiplies with: input times kernel over output.
    multipliers = 0.25 * weights.scales / operator.scale
    np.testing.assert_allclose(multipliers, np.arange(1.0, 7))
    np.testing.assert_array_equal(bias.values, np.arange(6))
    np.testing.assert_allclose(bias.scales, 0.25 * weights.scales)
    options = operator.options
    assert (options.strideH, options.strideW) == (2, 1)
    assert (options.dilationHFactor, options.dilationWFactor) == (1, 3)
    assert options.padding == schema.Padding.SAME


@pytest.mark.parametrize("largest, bits", [(1, 2), (2, 4), (7, 4), (8, 8)])
@pytest.mark.parametrize("compact", [False, True])
def test_a_dense_kernel_takes_the_bits_that_it_needs(largest, bits, compact):
    kernel = np.array([[largest, -1], [0, 1], [-largest, 0]])
    operator = integers(kernel, compact=compact)
    assert operator.name == "FULLY_CONNECTED"
    weights = operator.constants[0]
    assert weights.bits == (bits if compact else 8)
    np.testing.assert_array_equal(weights.values, kernel.T)


def test_a_float_result_keeps_whole_kernels_as_int8():
    kernel = np.array([[3.0, -127.0], [0.0, 1.0]])
    weights, bias = int8.sum_of_products(
        kernel, "kernel", kernel_scale=0.5
    ).constants
    assert weights.values.dtype == np.int8 and weights.dequantized
    assert not bias.values.any()
    for other in (kernel + 0.5, kernel - 1):
        weights, _ = int8.sum_of_products(
            other, "kernel", kernel_scale=0.5
        ).constants
        assert weights.values.dtype == np.float32 and not weights.dequantized
        np.testing.assert_array_equal(weights.values, other.T * 0.5)


def test_pools_of_sequences_have_one_row():
    layer = keras.layers.MaxPooling1D(3, strides=2, padding="same")
    options = int8.max_pool(layer, 1, 1.0).options
    assert (options.filterHeight, options.filterWidth) == (1, 3)
    assert (options.strideH, options.strideW) == (1, 2)
    assert options.padding == schema.Padding.SAME


@pytest.mark.parametrize("code, name", [(0, "PAD"), (-1, "PADV2")])
def test_padding_by_a_code(code, name):
    operator = int8.pad([[0, 0], [1, 2]], code, 0.5)
    assert operator.name == name
    assert [c.values.tolist() for c in operator.constants[1:]] == (
        [[code]] if code else []
    )
