"""Plain networks that packed ones are compared with."""

import keras

import keras_aqe as aqe
from keras_aqe.models.minw_net import VARIANTS


def conv_net(variant="A"):
    """The ConvNet of MINW-Net's shapes in plain Keras, with ReLU.

    Args:
        variant: As in `keras_aqe.models.MINWNet`.
    """
    a, units = VARIANTS[variant]
    x = inputs = keras.Input((32, 32, 3))
    for index, filters in enumerate([a, a, 2 * a, 2 * a, 4 * a, 4 * a]):
        padding = "same" if index else "valid"
        x = keras.layers.Conv2D(filters, 3, padding=padding, use_bias=False)(x)
        if index % 2:
            x = keras.layers.MaxPooling2D()(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.Flatten()(x)
    for width in (units, units):
        x = keras.layers.Dense(width, use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.Dense(10, use_bias=False)(x)
    return keras.Model(inputs, keras.layers.BatchNormalization()(x))


def convolution(size=16, channels=256, filters=256):
    """One 3x3 'same' convolution with ReLU."""
    inputs = keras.Input((size, size, channels))
    layer = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")
    return keras.Model(inputs, layer(inputs))


def dense(inputs=8192, units=1024):
    """One dense layer with ReLU."""
    x = keras.Input((inputs,))
    return keras.Model(x, keras.layers.Dense(units, activation="relu")(x))


# Networks that servers run: what builds them at a width, and the plain one.
SERVED = {
    "Model A": (lambda bits: aqe.models.MINWNet("A", bits, bits), conv_net),
    "ResNet-18, 224x224": (
        lambda bits: aqe.models.ResNet18(bits, bits),
        lambda: aqe.models.ResNet18(32, 32),
    ),
}
