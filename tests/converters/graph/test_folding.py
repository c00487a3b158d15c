"""Thresholds against the Keras layers, for every reachable accumulator."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_aqe import layers, quantizers
from keras_aqe.converters.graph import build as graph
from keras_aqe.converters.graph import folding, nodes
from keras_aqe.converters.graph.thresholds import FLOAT_LIMIT
from tests.randomised import randomise

ORDERS = [
    [],
    ["bn"],
    ["bn", "tanh"],
    ["relu", "bn"],
    ["bn", "bn"],
    ["pool", "bn"],
    ["bn", "pool"],
    ["bn", "pool", "tanh", "bn"],
]


def step_layer(step):
    return {
        "bn": keras.layers.BatchNormalization,
        "tanh": layers.HardTanh,
        "relu": keras.layers.ReLU,
        "pool": keras.layers.MaxPooling2D,
    }[step]()


def build(order, bits, weight_bits, channels, bias, seed):
    x = inputs = keras.Input((8, 8, 5))
    x = layers.QuantConv2D(
        channels,
        3,
        use_bias=bias,
        input_quantizer=quantizers.of_width(weight_bits),
        kernel_quantizer=quantizers.of_width(weight_bits),
    )(x)
    for step in order:
        x = step_layer(step)(x)
    x = layers.QuantActivation(quantizers.of_width(bits))(x)
    return randomise(keras.Model(inputs, x), seed)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@settings(max_examples=6, deadline=None)
@given(
    order=st.sampled_from(ORDERS),
    weight_bits=st.sampled_from([1, 2, 3]),
    channels=st.sampled_from([1, 3, 33]),
    bias=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_thresholds_equal_the_layers(
    bits, order, weight_bits, channels, bias, seed
):
    model = build(order, bits, weight_bits, channels, bias, seed)
    node = graph.build(model).outputs[0]
    assert isinstance(node, nodes.Threshold)

    bound = node.source.levels[-1]
    accumulators = np.arange(-bound, bound + 1, dtype="float32")
    accumulators = np.repeat(accumulators[:, None], channels, axis=1)
    y = accumulators
    for step in node.steps:
        y = y if callable(step) else y * step
    codes = node.levels[(y[:, None, :] >= node.thresholds[None]).sum(axis=1)]

    convolution = model.layers[1]
    x = accumulators * np.float32(node.source.unit)
    if bias:
        x = x + np.asarray(convolution.bias)
    x = x[:, None, None, :]
    for layer in model.layers[2:]:
        if not isinstance(layer, keras.layers.MaxPooling2D):
            x = layer(x)
    np.testing.assert_array_equal(codes * node.unit, np.asarray(x)[:, 0, 0])


@pytest.mark.slow
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@settings(max_examples=6, deadline=None)
@given(
    order=st.sampled_from([o for o in ORDERS if "pool" not in o]),
    channels=st.sampled_from([1, 3, 33]),
    seed=st.integers(0, 2**16),
)
def test_thresholds_of_floats_equal_the_layers(bits, order, channels, seed):
    """Floats that no sum gives, at each threshold and one bit beside it."""
    x = inputs = keras.Input((1, 1, channels))
    for step in order:
        x = step_layer(step)(x)
    quantizer = quantizers.of_width(bits)
    model = keras.Model(inputs, layers.QuantActivation(quantizer)(x))
    randomise(model, seed)

    direction, thresholds = folding.fold_floats(
        model.layers[1:-1], quantizer, model.input_shape
    )
    points = np.concatenate(
        [
            thresholds,
            np.nextafter(thresholds, np.float32(np.inf)),
            np.nextafter(thresholds, np.float32(-np.inf)),
            np.random.default_rng(seed).normal(0, 2, (50, channels)),
        ],
        dtype="float32",
    ).clip(-FLOAT_LIMIT, FLOAT_LIMIT)
    passed = (points[:, None, :] >= thresholds[None]).sum(axis=1)
    x = (points * direction)[:, None, None, :]
    for layer in model.layers[1:]:
        x = layer(x)
    np.testing.assert_array_equal(
        np.asarray(quantizer.levels)[passed], np.asarray(x)[:, 0, 0]
    )


@pytest.mark.parametrize("number", [-0.75, 0.0, 2.0])
@pytest.mark.parametrize("bits", [1, 2, 3])
def test_the_code_of_a_number(bits, number):
    quantizer = quantizers.of_width(bits)
    norm = keras.layers.BatchNormalization()
    x = np.full((1, 1, 1, 3), number, "float32")
    expected = quantizer.hard(layers.HardTanh()(norm(x))) / quantizer.unit
    chain = [norm, layers.HardTanh()]
    found = folding.fold_number(number, chain, quantizer, 3)
    assert found == np.unique(expected)
    norm.beta.assign([-9, 0, 9])
    assert folding.fold_number(number, chain, quantizer, 3) is None


def test_float_sums_find_the_last_bit():
    x = inputs = keras.Input((6, 6, 2))
    x = layers.QuantConv2D(4, 3, use_bias=False, kernel_quantizer="binary")(x)
    x = keras.layers.BatchNormalization()(x)
    x = layers.QuantActivation("ternary")(x)
    model = randomise(keras.Model(inputs, x), seed=3)
    node = graph.build(model).outputs[0]
    turn = np.ones(4, "float32")
    for step in node.steps:
        turn = turn * step
    for level, thresholds in enumerate(node.thresholds):
        below = np.nextafter(thresholds, np.float32(-np.inf))
        for values, least in ((thresholds, level), (below, -1)):
            y = model.layers[2](
                (values * turn).astype("f")[None, None, None], training=False
            )
            index = np.asarray(model.layers[3](y))[0, 0, 0] + 1
            inside = np.abs(thresholds) < 1e30
            if least >= 0:
                assert (index[inside] > least).all()
            else:
                assert (index[inside] <= level).all()


def test_a_pool_after_a_falling_channel_takes_the_least():
    model = build(["bn", "pool"], 1, 1, 2, False, 0)
    model.layers[2].gamma.assign([-1.0, 1.0])
    steps = graph.build(model).outputs[0].steps
    np.testing.assert_array_equal(steps[0], [-1, 1])
    assert isinstance(steps[1], keras.layers.MaxPooling2D)


def test_what_is_not_monotone_is_not_folded():
    x = inputs = keras.Input((4,))
    x = layers.QuantDense(3, kernel_quantizer="binary", activation="gelu")(x)
    x = layers.QuantActivation("binary")(x)
    node = graph.build(keras.Model(inputs, x)).outputs[0]
    assert isinstance(node, nodes.Quantize)
