"""A model of two inputs, and inputs for it."""

import keras
import numpy as np

from keras_aqe import layers

BINARY = {"input_quantizer": "binary", "kernel_quantizer": "binary"}


# How a model takes "meta" and "image", and returns its results "y" and "z".
TAKEN = {
    "list": lambda a, b: [b, a],
    "dictionary": lambda a, b: {"meta": b, "image": a},
    "nested": lambda a, b: {"meta": b, "image": [a]},
}


RETURNED = {
    "one": lambda y, z: y,
    "list of one": lambda y, z: [y],
    "list": lambda y, z: [z, y],
    "dictionary": lambda y, z: {"z": z, "a": y},
    "nested": lambda y, z: {"z": [z], "a": (y, z)},
}


def two_inputs(taken="dictionary", returned="one"):
    image = keras.Input((8,), name="image")
    meta = keras.Input((4,), name="meta")
    x = keras.layers.Concatenate()([image, meta])
    y = layers.QuantDense(3, name="y", **BINARY)(x)
    z = layers.QuantDense(2, name="z", **BINARY)(x)
    return keras.Model(TAKEN[taken](image, meta), RETURNED[returned](y, z))


def batches(examples, seed=0):
    random = np.random.default_rng(seed)
    return [
        random.normal(size=(examples, size)).astype("float32")
        for size in (8, 4)
    ]


IMAGE, META = batches(2)


FITTING = {"image": IMAGE, "meta": META}
