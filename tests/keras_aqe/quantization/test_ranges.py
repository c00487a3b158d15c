"""Guesses against samples of what they guess, scales against a search."""

import inspect

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_aqe as aqe
from keras_aqe.graph import run
from keras_aqe.quantization import ranges
from keras_aqe.quantization.sites import find

K = keras.layers


def guess(model, spread=1.0):
    def visit(call):
        sample = ranges.assumed(call, spread)
        return [sample] * len(call.node.output_tensors)

    inputs = [ranges.normal(spread)] * len(model.inputs)
    return run(model, inputs, visit)[0]


def batch_norm(x, gamma=(2.0, 0.5), beta=(1.0, -1.0)):
    layer = K.BatchNormalization()
    y = layer(x)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    return y


# A network of one or two inputs, and what it computes of their values in NumPy.
CASES = {
    "normal": (lambda a: K.Identity()(a), lambda a: a),
    "conv": (lambda a: K.Conv2D(2, 1)(a), lambda a: a),
    "conv with relu": (
        lambda a: K.Conv2D(2, 1, activation="relu")(a),
        lambda a: np.maximum(a, 0),
    ),
    "batch norm": (
        lambda a: batch_norm(a),
        lambda a: np.concatenate([2 * a + 1, 0.5 * a - 1]),
    ),
    "relu6 of batch norm": (
        lambda a: K.ReLU(6.0)(batch_norm(a)),
        lambda a: np.clip(np.concatenate([2 * a + 1, a / 2 - 1]), 0, 6),
    ),
    "sum": (lambda a, b: K.Add()([a, b]), lambda a, b: a + b),
    "sum with itself": (
        # Two tensors of a network are taken for independent.
        lambda a, b: K.Add()([K.ReLU()(a), K.ReLU()(b)]),
        lambda a, b: np.maximum(a, 0) + np.maximum(b, 0),
    ),
    "functions": (
        lambda a: keras.ops.relu(a * 2.0 + 1.0),
        lambda a: np.maximum(2 * a + 1, 0),
    ),
    "pools": (
        lambda a: K.Flatten()(K.MaxPooling2D()(K.Dropout(0.5)(K.ReLU()(a)))),
        lambda a: np.maximum(a, 0),
    ),
    "concatenation": (
        lambda a, b: K.Concatenate()([K.ReLU()(a), b]),
        lambda a, b: np.concatenate([np.maximum(a, 0), b]),
    ),
    "unknown": (lambda a: K.Softmax()(a), lambda a: a),
    "layer norm": (lambda a: K.LayerNormalization()(a), lambda a: a),
}


@pytest.mark.parametrize("name", CASES)
def test_guesses(name):
    build, compute = CASES[name]
    count = len(inspect.signature(build).parameters)
    inputs = [keras.Input((4, 4, 2)) for _ in range(count)]
    sample = guess(keras.Model(inputs, build(*inputs)))
    values = np.random.default_rng(0).normal(size=(count, 100000))
    expected = compute(*values)
    quantiles = np.linspace(0.05, 0.95, 19)
    np.testing.assert_allclose(
        np.quantile(sample, quantiles),
        np.quantile(expected, quantiles),
        atol=0.1,
    )
    assert (sample.min() >= 0) == (expected.min() >= 0)


@pytest.mark.parametrize(
    "build, is_unsigned",
    [
        # Far above 0 is not never below it.
        (lambda x: batch_norm(x, gamma=(0.1, 0.1), beta=(5.0, 5.0)), False),
        (lambda x: K.Rescaling(1.0, 9.0)(x), False),
        (lambda x: x + 9.0, False),
        (lambda x: K.ReLU()(x + 9.0), True),
        (lambda x: K.Activation("sigmoid")(x), True),
        # Below 0 near to it alone.
        (lambda x: K.Activation("silu")(x), False),
    ],
)
def test_signs_are_certain(build, is_unsigned):
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1)(build(inputs)))
    (site,) = find(model).values()
    assert site.is_unsigned == is_unsigned


@pytest.mark.parametrize("name", ["binary", "ternary", "po2_3", "unsigned_2"])
@given(power=st.integers(-20, 20), seed=st.integers(0, 9))
def test_the_best_scale(name, power, seed):
    values = np.random.default_rng(seed).laplace(size=500).astype("float32")
    values *= 2.0**power
    quantizer = aqe.quantizers.get(name)
    if name.startswith("unsigned"):
        values = np.abs(values)

    def error(scale):
        other = aqe.quantizers.get(name, scale=scale)
        return np.mean((np.asarray(other.hard(values)) - values) ** 2)

    scale = ranges.best_scale(quantizer, values)
    assert error(scale) <= min(error(scale / 2), error(scale * 2))


def test_scales_of_nothing():
    quantizer = aqe.quantizers.Ternary()
    assert ranges.best_scale(quantizer, np.zeros(9)) == 1


def test_thinned():
    values = np.arange(300000).reshape(3, -1)
    thinned = ranges.thinned(values)
    assert 2**15 < len(thinned) <= 2**16
    assert (np.diff(thinned) == thinned[1]).all()
    np.testing.assert_array_equal(ranges.thinned(np.ones((2, 2))), np.ones(4))
