"""What quantizers of the networks that are compared make of activations."""

import keras
import numpy as np
import pytest

from examples.reproduce import behind_relu


@pytest.mark.slow
@pytest.mark.parametrize(
    "bits, form, used, levels",
    [
        (1, "ReLU, signed", 1, 2),
        (2, "ReLU, signed", 2, 3),
        (3, "ReLU, signed", 4, 7),
        (1, "ReLU, unsigned", 2, 2),
        (2, "ReLU, unsigned", 4, 4),
        (3, "ReLU, unsigned", 8, 8),
        (2, "hard tanh, signed", 3, 3),
    ],
)
def test_signed_levels_are_wasted_behind_a_relu(bits, form, used, levels):
    keras.utils.set_random_seed(0)
    model = behind_relu.network(bits, form)
    *hidden, _ = [layer for layer in model.layers if hasattr(layer, "kernel")]
    inputs = keras.Model(model.inputs, [layer.input for layer in hidden])
    x = np.random.default_rng(0).normal(size=(8, 16, 16, 1)).astype("float32")
    for layer, value in zip(hidden[1:], inputs(x, training=True)[1:]):
        quantizer = layer.input_quantizer
        assert len(quantizer.levels) == levels
        assert len(np.unique(quantizer(value))) == used
