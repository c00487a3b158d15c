"""A wider network computes what the narrower one did."""

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from examples.reproduce import runs, widening


def network(bits, filters=2, dense_units=4):
    return aqe.models.MINWNet(
        "D", bits, bits, filters=filters, dense_units=dense_units
    )


def trained(bits):
    """A network with weights and statistics that differ from unit to unit."""
    keras.utils.set_random_seed(bits)
    # Small beside the variances, epsilon decides nothing.
    model = without_epsilon(network(bits))
    rng = np.random.default_rng(bits)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            units = layer.gamma.shape
            layer.gamma.assign(rng.uniform(0.5, 2, units))
            layer.beta.assign(rng.normal(0, 0.3, units))
            layer.moving_mean.assign(rng.normal(0, 1, units))
            layer.moving_variance.assign(rng.uniform(4, 9, units))
    return model


def without_epsilon(model):
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.epsilon = 1e-9
    return model


@pytest.mark.slow
@pytest.mark.parametrize("bits", [1, 2, 3, 32])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_logits_stay(bits, times):
    source = trained(bits)
    wide = without_epsilon(network(bits, 2 * times, 4 * times))
    widening.widen(wide, source)
    # Sums of multiples of 1/128 are exact, and with them codes.
    x = np.random.default_rng(0).normal(size=(8, 32, 32, 3))
    x = np.float32(np.rint(128 * x) / 128)
    expected = source.predict(x, verbose=0)
    np.testing.assert_allclose(
        wide.predict(x, verbose=0), expected, rtol=1e-3, atol=1e-3
    )
    assert np.ptp(expected) > 0.1


@pytest.mark.parametrize("bits", [1, 2])
def test_noise_tells_equal_units_apart(bits):
    source, wide = trained(bits), network(bits, 4, 8)
    widening.widen(wide, source, noise=0.5, seed=1)
    kernel = wide.get_layer("conv2").kernel.numpy()
    plain = np.repeat(source.get_layer("conv2").kernel.numpy(), 2, -1)
    plain = np.repeat(plain, 2, -2)
    assert np.all(kernel[..., 0] != kernel[..., 1])
    np.testing.assert_array_equal(np.sign(kernel), np.sign(plain))
    assert np.all(np.abs(kernel - plain) <= 0.5001 * np.abs(plain))


def test_no_multiple():
    with pytest.raises(ValueError, match=r"'kernel' of layer 'conv1'.*\(3, 3"):
        widening.widen(network(1, 3), network(1, 2))


@pytest.mark.slow
def test_the_run_names_a_trained_network():
    wide = network(2, 48, 128)
    run = {
        **runs.DEFAULTS,
        "bits": [2, 2],
        "widened": {"network": "minw-d24-cifar10", "noise": 0.0},
    }
    widening.start(wide, run)
    source = aqe.models.load_pretrained("minw-d24-cifar10-2-2")
    np.testing.assert_array_equal(
        wide.get_layer("conv3").kernel.numpy()[:, :, ::2, ::2],
        source.get_layer("conv3").kernel.numpy(),
    )
    before = wide.get_weights()
    widening.start(wide, runs.DEFAULTS)
    for weights, same in zip(wide.get_weights(), before):
        np.testing.assert_array_equal(weights, same)
