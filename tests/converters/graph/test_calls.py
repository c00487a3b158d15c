"""Numbers of all types, masks and recurrent layers, against Keras."""

import keras
import numpy as np
import pytest

from keras_aqe import layers, quantizers
from keras_aqe.converters import ConversionError, Interpreter, convert
from tests.converters.networks import TARGETS

K = keras.layers
# The extremes of each type, and what float32 and smaller types cannot hold.
NUMBERS = {
    "float32": [-(2.0**60), -0.0, 0.1, 1.5, 2.0, 3e-30],
    "bool": [0, 1, 1, 0, 0, 1],
    "int8": [-128, -1, 0, 1, 3, 127],
    "uint8": [0, 1, 2, 127, 128, 255],
    "int16": [-32768, -1, 0, 1, 3, 32767],
    "uint16": [0, 1, 2, 32767, 32768, 65535],
    "int32": [-(2**31), -(2**24) - 1, 0, 1, 2**24 + 3, 2**31 - 1],
    "uint32": [0, 1, 2, 2**24 + 3, 2**31 + 5, 2**32 - 1],
    "int64": [-(2**63), -(2**53) - 1, 0, 1, 2**24 + 3, 2**63 - 1],
    "float16": [-65504, -(2**-14), 0, 0.75, 1.0, 3],
    "float64": [-(2.0**60), -(2.0**-80), 0.1, 1.0, 1 + 2.0**-25, 1e-300],
}
LCE = {"float32", "bool", "int8", "uint8", "int16", "int32", "int64"}
FLOATS = {"float16", "float32", "float64"}
SIGNED = FLOATS | {"int8", "int16", "int32", "int64"}
# Layers on numbers of shape (3, 1, 2), and the types that Keras takes there.
LAYERS = {
    "none": (None, set(NUMBERS)),
    "flatten": (K.Flatten(), set(NUMBERS)),
    "max pool": (K.MaxPooling2D((2, 1)), set(NUMBERS) - {"bool", "uint32"}),
    "padding": (K.ZeroPadding2D(1), set(NUMBERS)),
    "rescaling": (K.Rescaling(0.5), set(NUMBERS)),
    "batch norm": (K.BatchNormalization(), set(NUMBERS)),
    "ternary": (layers.QuantActivation("ternary"), SIGNED),
}
MORE_LAYERS = LAYERS | {
    "cropping": (K.Cropping2D((1, 0)), set(NUMBERS)),
    "global max pool": (K.GlobalMaxPooling2D(), set(NUMBERS)),
    "permute": (K.Permute((2, 1, 3)), set(NUMBERS)),
    "reshape": (K.Reshape((1, 3, 2)), set(NUMBERS)),
    "upsampling": (K.UpSampling2D(2), set(NUMBERS)),
    "dropout": (K.Dropout(0.5), set(NUMBERS)),
    "relu": (K.ReLU(), FLOATS | {"int32", "int64"}),
    "binary": (layers.QuantActivation("binary"), SIGNED),
    "po2_3": (layers.QuantActivation("po2_3"), SIGNED),
    "fixed_8": (layers.QuantActivation("fixed_8"), set(NUMBERS) - {"bool"}),
    "high ternary": (
        layers.QuantActivation(quantizers.Ternary(threshold=2.0)),
        SIGNED,
    ),
}


def dense(x):
    return layers.QuantDense(2, kernel_quantizer="binary")(x)


def one_of_many(index):
    """A dense layer whose kernel no other has: equal ones become one.

    Each output is one of two inputs times a power of two, which is exact.
    """
    layer = layers.QuantDense(2, kernel_quantizer="po2_4")
    layer.build((None, 2))
    factor = (-1) ** (index // 7) * 2.0 ** -(index % 7)
    layer.kernel.assign([[1.0, 0.0], [0.0, factor]])
    return layer


def check_numbers(dtypes, chosen, target):
    """One network with an input for each type and all layers on each."""
    inputs, outputs, x = [], [], []
    for dtype in dtypes:
        numbers = keras.Input((3, 1, 2), dtype=dtype)
        inputs.append(numbers)
        values = np.array(NUMBERS[dtype], dtype)
        x.append(np.stack([values, values[::-1]]).reshape(2, 3, 1, 2))
        for layer, types in chosen.values():
            if dtype not in types:
                continue
            y = numbers
            if layer is not None:
                y = type(layer).from_config(
                    layer.get_config() | {"name": None}
                )(numbers)
            if isinstance(layer, layers.QuantActivation):
                outputs.append(y)
            elif isinstance(layer, K.Flatten):
                y = K.Reshape((3, 2))(y)
            outputs.append(one_of_many(len(outputs))(y))
    model = keras.Model(inputs, outputs)
    expected = keras.tree.flatten(model(x, training=False))
    file = convert(model, target, strict=False).flatbuffer
    received = Interpreter(file).predict(x if len(x) > 1 else x[0])
    for ours, theirs in zip(expected, received, strict=True):
        ours = keras.ops.convert_to_numpy(ours)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_numbers_of_few_types(target):
    dtypes = ["int8", "int32", *["float64"] * (target != "lce")]
    check_numbers(dtypes, LAYERS, target)


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", NUMBERS)
def test_numbers_of_all_types(dtype, target):
    if target == "lce" and dtype not in LCE:
        inputs = keras.Input((3,), dtype=dtype, name="numbers")
        with pytest.raises(ConversionError, match=f"'numbers'.*{dtype}"):
            convert(keras.Model(inputs, dense(inputs)), target)
    else:
        check_numbers([dtype], MORE_LAYERS, target)
