"""Quantizers that are not the package's own, and wide ones."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_aqe import layers, quantizers
from keras_aqe.converters import Interpreter, convert
from keras_aqe.converters.graph.quantizing import distinct
from tests.converters.networks import TARGETS
from tests.randomised import images


class ZeroOrOne(quantizers.Quantizer):
    bits = 1
    unit = 1.0
    levels = np.array([0.0, 1.0], "float32")

    def hard(self, x):
        return tf.cast(tf.convert_to_tensor(x) >= 0.3, tf.float32)


class HighSign(quantizers.Binary):
    def hard(self, x):
        return super().hard(tf.convert_to_tensor(x) - 0.25)


class Slow(quantizers.FixedPoint):
    def hard(self, x):
        return super().hard(tf.convert_to_tensor(x) / 4)


QUANTIZERS = [
    ZeroOrOne,
    HighSign,
    lambda: Slow(bits=4),
    lambda: quantizers.FixedPoint(bits=12),
    lambda: quantizers.FixedPoint(bits=16),
]


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_a_quantizer_is_not_known_by_its_width(target):
    inputs = keras.Input((6, 6, 3))
    outputs = []
    for make in QUANTIZERS:
        x = layers.QuantActivation(make())(keras.layers.Rescaling(3.0)(inputs))
        outputs.append(x)
        x = layers.QuantConv2D(4, 3, kernel_quantizer="binary")(x)
        outputs.append(layers.QuantActivation(make())(x))
    model = keras.Model(inputs, outputs)
    x = images((6, 6, 3))
    file = convert(model, target, strict=False).flatbuffer
    for ours, theirs in zip(
        model(x, training=False), Interpreter(file).predict(x), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("size", [0, 1, 100, 5000, 9000])
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_distinct_numbers_are_those_of_numpy(size, dtype):
    rng = np.random.default_rng(size)
    codes = (2 ** rng.integers(0, 7, size) * rng.integers(-1, 2, size)) * 1.0
    codes = codes.astype(dtype).reshape(-1, 1)
    np.testing.assert_array_equal(distinct(codes), np.unique(codes))
