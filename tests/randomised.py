"""Images whose sums are exact, and weights as uneven as trained ones."""

import keras
import numpy as np

from keras_aqe import layers


def images(shape, examples=3, seed=0):
    """Images of whole 1/128, whose sums are exact in any order."""
    random = np.random.default_rng(seed)
    return (random.integers(0, 256, (examples, *shape)) / 128 - 1).astype("f")


def randomise(model, seed=0):
    """Gives batch normalisation and biases a trained state, and worse."""
    random = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape
            gamma = random.normal(size=size)
            gamma[random.random(size) < 0.1] = 0
            beta = random.normal(size=size)
            beta[random.random(size) < 0.1] *= 1e6
            variance = random.uniform(0.1, 30, size)
            variance[random.random(size) < 0.1] = 1e-12
            layer.gamma.assign(gamma)
            layer.beta.assign(beta)
            layer.moving_mean.assign(np.rint(3 * random.normal(size=size)))
            layer.moving_variance.assign(variance)
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(random.normal(size=layer.bias.shape))
        if _has_wide_kernel(layer):
            # Whole 1/64, whose sums over codes are exact in any order.
            layer.kernel.assign(np.rint(64 * layer.kernel.numpy()) / 64)
    return model


def _has_wide_kernel(layer):
    if not isinstance(layer, (layers.QuantConv2D, layers.QuantDense)):
        return False
    quantizer = layer.kernel_quantizer
    return quantizer is None or quantizer.bits >= 16
