"""Operators of Keras layers that are not quantized, in graphs of their own."""

import keras
import numpy as np
import pytest

from keras_aqe.converters import Interpreter, convert
from tests.converters.networks import TARGETS, computed
from tests.randomised import images


@pytest.mark.parametrize("target", TARGETS)
def test_operators_inside_of_a_loop(target):
    """Dropping unused codes of operators once forgot those of other graphs."""
    inputs = keras.Input((3,))
    outputs = keras.ops.fori_loop(
        0, 4, lambda step, x: keras.ops.sin(2 * x) - 0.5, inputs
    )
    model = keras.Model(inputs, outputs)
    x = images((3,))[:1]
    received = Interpreter(convert(model, target, strict=False)).predict(x)
    np.testing.assert_allclose(
        computed(model, x), received, rtol=1e-5, atol=1e-6
    )
