"""Float networks of all kinds, tiny."""

import keras
import numpy as np

K = keras.layers


def residual(activation="relu"):
    """Post-activation blocks, a projection without batch normalisation."""

    def conv(x, filters, size, name, strides=1):
        return K.Conv2D(filters, size, strides, padding="same", name=name)(x)

    def norm(x):
        return K.BatchNormalization()(x)

    inputs = keras.Input((8, 8, 3))
    x = K.Activation(activation)(norm(conv(inputs, 4, 3, "first")))
    y = K.Activation(activation)(norm(conv(x, 4, 3, "conv1")))
    y = norm(conv(y, 4, 3, "conv2"))
    x = K.Activation(activation)(K.Add()([x, y]))
    y = K.Activation(activation)(norm(conv(x, 6, 3, "conv3", 2)))
    y = norm(conv(y, 6, 3, "conv4"))
    x = K.Activation(activation)(K.Add()([y, conv(x, 6, 1, "shortcut", 2)]))
    x = K.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, K.Dense(5, name="last")(x), name="residual")


def straight():
    """Sequential; pools, flattening and dropout in front of kernels."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            K.Conv2D(4, 3, activation="relu", name="first"),
            K.MaxPooling2D(),
            K.Conv2D(6, 2, padding="same", name="conv"),
            K.BatchNormalization(),
            K.ReLU(6.0),
            K.Dropout(0.5),
            K.Flatten(),
            K.Dense(7, activation="tanh", name="dense"),
            K.Dense(5, name="last"),
        ],
        name="straight",
    )


def mobile():
    """Nested, two inputs, dictionaries, shared and depthwise layers."""
    x = inner_input = keras.Input((8, 8, 4))
    x = K.Conv2D(8, 1, use_bias=False, name="expand")(x)
    x = K.ReLU(6.0)(K.BatchNormalization()(x))
    x = K.ZeroPadding2D(1)(x)
    x = K.DepthwiseConv2D(3, use_bias=False, name="depth")(x)
    x = K.ReLU(6.0)(K.BatchNormalization()(x))
    x = K.Conv2D(4, 1, use_bias=False, name="project")(x)
    x = K.Add()([inner_input, K.BatchNormalization()(x)])
    block = keras.Model(inner_input, x, name="block")
    shared = K.Dense(4, name="shared")
    images = {n: keras.Input((8, 8, 3), name=n) for n in ("left", "right")}
    first = K.Conv2D(4, 1, name="first")
    x = K.Subtract()([shared(block(first(images[n]))) for n in images])
    x = K.LayerNormalization()(K.GlobalMaxPooling2D()(x))
    outputs = {
        "score": K.Dense(1, name="score")(x),
        "classes": K.Dense(3, activation="softmax", name="classes")(x),
    }
    return keras.Model(images, outputs, name="mobile")


def dense():
    """Three layers, the quickest to build."""
    inputs = keras.Input((6,))
    x = K.Dense(5, activation="relu", name="first")(inputs)
    x = K.BatchNormalization()(K.Dense(4, name="dense")(x))
    return keras.Model(inputs, K.Dense(3, name="last")(x))


def images(model, examples=6):
    """Inputs of one batch."""
    rng = np.random.default_rng(0)
    structure = model.inputs[0] if len(model.inputs) == 1 else model.input
    return keras.tree.map_structure(
        lambda x: rng.normal(size=(examples, *x.shape[1:])).astype("float32"),
        structure,
    )


def trained(model):
    """The model with weights as after training, batch norm to match."""
    rng = np.random.default_rng(0)
    for layer in model._flatten_layers():
        if isinstance(layer, K.BatchNormalization):
            for weight, low in zip(layer.weights, (0.5, -0.5, -0.2, 0.2)):
                weight.assign(rng.uniform(low, low + 0.8, weight.shape))
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(rng.normal(size=layer.bias.shape) / 10)
    return model
