"""Networks and inputs that the converters are tested on."""

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
        elif getattr(layer, "use_bias", False):
            layer.bias.assign(random.normal(size=layer.bias.shape))
    return model


def block(x, layer, quantizer, order="pool bn", activation=None):
    """A quantized layer and what follows it, in an order of choice."""
    x = layer(x)
    for step in order.split():
        if step == "pool":
            x = keras.layers.MaxPooling2D(2)(x)
        elif step == "same_pool":
            x = keras.layers.MaxPooling2D(3, 2, padding="same")(x)
        elif step == "bn":
            x = keras.layers.BatchNormalization()(x)
        elif step == "relu":
            x = keras.layers.ReLU()(x)
        elif step == "tanh":
            x = layers.HardTanh()(x)
        elif step == "dropout":
            x = keras.layers.Dropout(0.3)(x)
    return x if quantizer is None else layers.QuantActivation(quantizer)(x)
