"""Small files of many operators, for tests of damaged and edited ones."""

import functools

import keras

from keras_aqe import layers
from keras_aqe.converters import convert

_TERNARY = {"input_quantizer": "ternary", "kernel_quantizer": "ternary"}
_BINARY = {"input_quantizer": "binary", "kernel_quantizer": "binary"}


def _plain():
    x = inputs = keras.Input((6, 6, 3))
    x = layers.QuantConv2D(5, 3, kernel_quantizer="binary", padding="same")(x)
    x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.BatchNormalization()(x)
    x = layers.QuantConv2D(4, 2, pad_value=1, padding="same", **_BINARY)(x)
    x = keras.layers.BatchNormalization()(x)
    x = layers.QuantDepthwiseConv2D(2, **_TERNARY)(x)
    x = keras.layers.Flatten()(keras.layers.BatchNormalization()(x))
    x = keras.layers.Softmax()(layers.QuantDense(3, **_BINARY)(x))
    return keras.Model(inputs, x)


def _residual():
    first, second = keras.Input((4, 4, 2)), keras.Input((3,))
    x = layers.QuantConv2D(4, 3, padding="same", **_TERNARY)(first)
    y = keras.layers.BatchNormalization()(x)
    y = layers.QuantConv2D(4, 3, padding="same", **_BINARY)(y)
    x = keras.layers.Add()([x, y])
    x = keras.layers.AveragePooling2D(2)(keras.layers.ReLU()(x))
    y = layers.QuantConv2DTranspose(2, 2, strides=2, **_BINARY)(x)
    y = keras.layers.GlobalMaxPooling2D()(keras.layers.UpSampling2D(2)(y))
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Concatenate()([x, y, second])
    return keras.Model([first, second], layers.QuantDense(2, **_TERNARY)(x))


def _sequence():
    x = inputs = keras.Input((8, 3), name="x")
    x = layers.QuantConv1D(5, 3, padding="causal", kernel_quantizer="po2_3")(x)
    x = keras.layers.BatchNormalization()(x)
    x = layers.QuantActivation("po2_3")(x)
    x = keras.layers.MaxPooling1D(2)(x)
    x = layers.QuantConv1D(3, 2, kernel_quantizer="ternary")(x)
    x = keras.layers.LeakyReLU()(keras.layers.LayerNormalization()(x))
    return keras.Model({"x": inputs}, {"y": keras.layers.Permute((2, 1))(x)})


def _floats():
    x = inputs = keras.Input((5, 5, 2))
    x = keras.layers.Conv2D(3, 2, activation="sigmoid")(x)
    x = keras.layers.Conv2DTranspose(2, 2, activation="tanh")(x)
    x = keras.layers.DepthwiseConv2D(2, activation="elu")(x)
    x = keras.layers.PReLU()(keras.layers.ZeroPadding2D(1)(x))
    x = keras.layers.Cropping2D(1)(keras.layers.Resizing(6, 6)(x))
    x = keras.ops.concatenate(
        [keras.ops.sin(x), keras.ops.sqrt(keras.ops.abs(x)), x > 0.5], -1
    )
    x = keras.layers.Reshape((8, -1))(x)
    x = keras.layers.MultiHeadAttention(2, 3)(x, x)
    x = keras.layers.Dense(4, activation="gelu")(x)
    x = keras.ops.take(keras.ops.transpose(x, (0, 2, 1)), [1, 0], axis=1)
    x = keras.ops.max(x, -1) + keras.ops.cumsum(keras.ops.mean(x, -1), -1)
    y = layers.QuantDense(2, **_BINARY)(x)
    return keras.Model(inputs, y)


def _recurrent():
    x = inputs = keras.Input((4, 3))
    x = keras.layers.LSTM(3, return_sequences=True)(x)
    x = keras.layers.GRU(2)(x)
    return keras.Model(inputs, layers.QuantDense(2, **_BINARY)(x))


@functools.cache
def small_files(target):
    """Bytes of files that `convert` made for a target."""
    networks = [_plain, _residual, _sequence, _floats, _recurrent]
    return [
        convert(network(), target, strict=False).flatbuffer
        for network in networks
    ]
