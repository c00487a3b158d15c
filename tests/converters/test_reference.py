"""Codes that the reference allows, beside those of files."""

import keras
import numpy as np
import pytest

from keras_aqe import layers
from keras_aqe.converters import convert, verify
from tests.converters.networks import TARGETS


def in_another_order(kernel, order):
    """A first layer on channels in another order, with thresholds at sums."""
    x = inputs = keras.Input((4, 4, 9))
    parts = [x[..., c : c + 1] for c in order]
    x = keras.layers.Concatenate()(parts)
    conv = layers.QuantConv2D(
        kernel.shape[-1], 3, use_bias=False, kernel_quantizer="ternary"
    )
    norm = keras.layers.BatchNormalization(epsilon=0.0)
    x = norm(conv(x))
    x = layers.QuantActivation("binary", name="codes")(x)
    conv2 = layers.QuantConv2D(5, 1, kernel_quantizer="binary", name="conv2")
    x = layers.QuantActivation("binary", name="codes2")(conv2(x))
    model = keras.Model(inputs, keras.layers.Flatten()(x))
    conv.kernel.assign(kernel[:, :, order])
    return model, conv, norm, conv2


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_rounding_is_told_from_faults(target):
    random = np.random.default_rng(0)
    kernel = random.uniform(-1, 1, (3, 3, 9, 64))
    x = random.normal(size=(8, 4, 4, 9)).astype("float32")
    one, conv, norm, second = in_another_order(kernel, range(9))
    # The sum of some pixel, another one for each channel.
    sums = conv(x).numpy().reshape(-1, 64)
    means = sums[random.integers(0, len(sums), 64), np.arange(64)]
    norm.moving_mean.assign(means)
    other, _, norm, other_second = in_another_order(kernel, range(9)[::-1])
    norm.moving_mean.assign(means)
    other_second.kernel.assign(second.kernel)
    converted = convert(one, target)
    found = verify(other, converted, x)
    assert found.code_agreement["codes"] < 1
    assert found.faultless
    # At least the pixels that the thresholds are taken from, and few others.
    assert 64 <= found.within_rounding["codes"] < 100
    assert "Rounding of float sums explains" in str(found)
    # A fault behind it is still seen.
    other_second.kernel.assign(-second.kernel)
    assert list(verify(other, converted, x).faults) == ["codes2"]
    other_second.kernel.assign(second.kernel)
    # As is a threshold that is off by more than rounding.
    norm.moving_mean.assign(means + 0.01)
    assert "codes" in verify(other, converted, x).faults
