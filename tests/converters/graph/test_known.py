"""Every argument of the layers that the converter knows, against Keras."""

import functools

import keras
import numpy as np
import pytest

from keras_aqe import layers, quantizers
from keras_aqe.converters import ConversionError, Interpreter, convert
from keras_aqe.converters.graph.known import is_known, padding
from tests.converters.networks import TARGETS
from tests.randomised import images, randomise

K = keras.layers
FIRST = "channels_first"

# Layers that move, repeat or drop codes, of an image of 6 x 4 x 6.
ON_CODES = {
    "flatten": lambda: K.Flatten(data_format=FIRST),
    "reshape": lambda: K.Reshape((-1, 3)),
    "permute": lambda: K.Permute((3, 1, 2)),
    "max pool": lambda: K.MaxPooling2D(2, data_format=FIRST),
    "max pool, strides": lambda: K.MaxPooling2D(3, (2, 1), padding="same"),
    "average pool": lambda: K.AveragePooling2D(2, data_format=FIRST),
    "average pool, same": lambda: K.AveragePooling2D(4, 2, padding="same"),
    "global max": lambda: K.GlobalMaxPooling2D(data_format=FIRST),
    "global max, axes kept": lambda: K.GlobalMaxPooling2D(keepdims=True),
    "global average": lambda: K.GlobalAveragePooling2D(data_format=FIRST),
    "global average, axes kept": lambda: K.GlobalAveragePooling2D(
        keepdims=True
    ),
    "padding": lambda: K.ZeroPadding2D(((1, 0), (2, 1)), data_format=FIRST),
    "cropping": lambda: K.Cropping2D(((1, 0), (2, 1)), data_format=FIRST),
    "upsampling": lambda: K.UpSampling2D(2, data_format=FIRST),
    "bilinear": lambda: K.UpSampling2D(2, interpolation="bilinear"),
    "concatenate": lambda: lambda x: K.Concatenate(axis=1)([x, x]),
    "repeat": lambda: lambda x: K.RepeatVector(2)(K.Flatten()(x)),
}


def falling(x):
    return 1.0 - keras.ops.abs(x)


falling.__name__ = "relu"


class TwicePool(K.MaxPooling2D):
    def call(self, x):
        return 2.0 * super().call(x) - 1.0


class Shift(K.BatchNormalization):
    def call(self, x, **kwargs):
        return super().call(x, **kwargs) - 1.0


class Doubled(K.Dropout):
    def call(self, x, training=None):
        return -2.0 * x


class Upside(layers.HardTanh):
    def call(self, x, training=None):
        return -super().call(x)


# Layers between a sum and a quantizer.
ON_SUMS = {
    "own function called relu": lambda: K.Activation(falling),
    "partial": lambda: K.Activation(
        functools.partial(keras.activations.relu, negative_slope=-0.5)
    ),
    "lambda": lambda: K.Activation(lambda x: -x),
    "op": lambda: K.Activation(keras.ops.square),
    "leaky": lambda: K.LeakyReLU(negative_slope=0.3),
    "relu": lambda: K.ReLU(2.0, negative_slope=0.25, threshold=1.0),
    "relu, low ceiling": lambda: K.ReLU(0.25, threshold=1.0),
    "softmax": lambda: K.Softmax(),
    "batch norm of rows": lambda: K.BatchNormalization(axis=1),
    "batch norm, no scale": lambda: K.BatchNormalization(scale=False),
    "batch norm, no center": lambda: K.BatchNormalization(center=False),
    "batch norm, positive axis": lambda: K.BatchNormalization(axis=3),
    "pool": lambda: K.MaxPooling2D(2, 1, data_format=FIRST),
    "pool, same": lambda: K.MaxPooling2D(2, 1, padding="same"),
    "rescaling": lambda: K.Rescaling(-0.5, offset=0.25),
    "rescaling of channels": lambda: K.Rescaling([1.0, -1.0, 2.0]),
    "normalization": lambda: K.Normalization(
        axis=-1, mean=[1.0, 0.0, -1.0], variance=[1.0, 4.0, 16.0]
    ),
    "inverse": lambda: K.Normalization(mean=1.0, variance=4.0, invert=True),
    "own pool": lambda: TwicePool(2),
    "own batch norm": Shift,
    "own dropout": lambda: Doubled(0.5),
    "own tanh": Upside,
}


def check(model, target, shape):
    x = images(shape)
    expected = [np.asarray(y) for y in model(x, training=False)]
    received = Interpreter(
        convert(model, target, strict=False).flatbuffer
    ).predict(x)
    for name, ours, theirs in zip(model.output_names, expected, received):
        np.testing.assert_allclose(
            ours, theirs, rtol=0, atol=1e-5 * np.abs(ours).max(), err_msg=name
        )


# What a layer computes is known to all targets alike: here each has its layers,
# and all pairs take ten seconds.
def has(target):
    return [
        pytest.param(each, marks=() if each == target else pytest.mark.long)
        for each in TARGETS
    ]


@pytest.mark.slow
@pytest.mark.parametrize("target", has("packed"))
def test_arguments_of_layers_on_codes(target):
    inputs = keras.Input((6, 4, 6))
    codes = layers.QuantActivation("ternary")(inputs)
    outputs = []
    for make in ON_CODES.values():
        x = K.Flatten()(make()(codes))
        outputs.append(layers.QuantDense(3, kernel_quantizer="po2_3")(x))
    check(keras.Model(inputs, outputs), target, (6, 4, 6))


@pytest.mark.slow
@pytest.mark.parametrize("target", has("tflite"))
def test_arguments_of_layers_behind_a_sum(target):
    inputs = keras.Input((6, 6, 3))
    sums = layers.QuantConv2D(
        3, 2, input_quantizer="ternary", kernel_quantizer="binary"
    )(inputs)
    outputs = [
        layers.QuantActivation("ternary")(make()(sums))
        for make in ON_SUMS.values()
    ]
    check(keras.Model(inputs, outputs), target, (6, 6, 3))


# Convolutions of an image of 7 x 6 x 4.
CONVOLUTIONS = [
    (layers.QuantConv2D, {"dilation_rate": (1, 2), "padding": "same"}),
    (layers.QuantConv2D, {"groups": 2, "strides": (2, 1)}),
    (layers.QuantConv2D, {"activation": falling, "use_bias": False}),
    (layers.QuantConv2D, {"activation": "softmax"}),
    (layers.QuantConv2D, {"activity_regularizer": "l2"}),
    (layers.QuantDepthwiseConv2D, {"depth_multiplier": 2, "padding": "same"}),
    (layers.QuantDepthwiseConv2D, {"strides": 2, "activation": "tanh"}),
    (layers.QuantSeparableConv2D, {"depth_multiplier": 2, "dilation_rate": 2}),
    (layers.QuantSeparableConv2D, {"strides": 2, "activation": "elu"}),
    (layers.QuantConv2DTranspose, {"strides": 2, "output_padding": 1}),
    (layers.QuantConv2DTranspose, {"strides": (3, 2), "padding": "same"}),
]


@pytest.mark.slow
@pytest.mark.parametrize("target", has("lce"))
def test_arguments_of_convolutions(target):
    inputs = keras.Input((7, 6, 4))
    outputs = []
    for cls, arguments in CONVOLUTIONS:
        if cls is not layers.QuantDepthwiseConv2D:
            arguments = {"filters": 4, **arguments}
        y = cls(
            kernel_size=2,
            input_quantizer="ternary",
            kernel_quantizer="binary",
            **arguments,
        )(inputs)
        outputs.append(layers.QuantActivation("ternary")(y))
    x = K.Reshape((42, 4))(inputs)
    for arguments in ({"padding": "causal"}, {"groups": 2, "strides": 3}):
        outputs.append(
            layers.QuantConv1D(
                *(4, 3),
                input_quantizer="binary",
                kernel_quantizer="binary",
                **arguments,
            )(x)
        )
    check(randomise(keras.Model(inputs, outputs)), target, (7, 6, 4))


@pytest.mark.parametrize("target", TARGETS)
def test_a_dilated_transposed_convolution(target):
    """It is one of zeros between: TensorFlow runs it with oneDNN alone."""
    inputs = keras.Input((7, 6, 4))
    dilated, plain = (
        keras.Model(
            inputs,
            layers.QuantActivation("ternary")(
                layers.QuantConv2DTranspose(
                    4,
                    size,
                    dilation_rate=dilation_rate,
                    input_quantizer="ternary",
                    kernel_quantizer=quantizer,
                )(inputs)
            ),
        )
        for size, dilation_rate, quantizer in (
            (2, 2, "binary"),
            (3, 1, "ternary"),
        )
    )
    kernel, bias = randomise(dilated).get_layer(index=1).get_weights()[:2]
    zeros = np.zeros((3, 3, 4, 4), "float32")
    zeros[::2, ::2] = np.sign(kernel)
    plain.get_layer(index=1).kernel.assign(zeros)
    plain.get_layer(index=1).bias.assign(bias)
    x = images((7, 6, 4))
    received = Interpreter(convert(dilated, target)).predict(x)
    np.testing.assert_array_equal(plain(x, training=False), received)


class OwnConv(layers.QuantConv2D):
    def call(self, x, training=None):
        return -super().call(x, training=training)


class StandardConv(layers.QuantConv2D):
    @property
    def kernel(self):
        return super().kernel + 1.0


class WithDefaults(layers.QuantConv2D):
    def __init__(self, filters, **kwargs):
        super().__init__(filters, 3, kernel_quantizer="binary", **kwargs)


class Falling(quantizers.Binary):
    def hard(self, x):
        return -super().hard(x)


def convolution(cls=layers.QuantConv2D, **arguments):
    arguments = {"kernel_quantizer": "binary", "kernel_size": 3, **arguments}
    return lambda x: cls(2, name="odd", **arguments)(x)


@pytest.mark.parametrize(
    "layer, match",
    [
        (convolution(OwnConv), "'odd' overrides call"),
        (convolution(StandardConv), "'odd' overrides kernel"),
        (
            convolution(data_format=FIRST, kernel_size=2),
            "'odd'.*channels_first",
        ),
        (convolution(input_quantizer=Falling(name="odd")), "'odd'.*thresholds"),
        (
            convolution(input_quantizer=quantizers.Ternary(0.7, relative=True)),
            "relative",
        ),
        (lambda x: K.Dropout(0.5, name="odd")(x, training=True), "'odd'"),
        (
            lambda x: K.BatchNormalization(name="odd")(x, training=True),
            "'odd'.*training=True",
        ),
        (
            lambda x: layers.QuantActivation("binary", name="odd")(
                x, training=True
            ),
            "'odd'.*training=True",
        ),
    ],
)
def test_refuses_what_computes_something_else(layer, match):
    inputs = keras.Input((6, 6, 2))
    with pytest.raises((ConversionError, ValueError), match=match):
        convert(keras.Model(inputs, layer(inputs)), "tflite")


def test_subclasses_that_only_set_defaults_are_known():
    assert is_known(WithDefaults(2), (layers.QuantConv2D,))
    assert not is_known(Doubled(0.5), (K.Dropout,))
    replaced = K.Dropout(0.5)
    replaced.call = lambda x: -x
    assert not is_known(replaced, (K.Dropout,))


def test_refuses_a_model_with_a_call_of_its_own():
    class Model(keras.Model):
        def call(self, inputs, training=None, mask=None):
            return -super().call(inputs)

    inputs = keras.Input((4,))
    outputs = layers.QuantDense(2, kernel_quantizer="binary")(inputs)
    with pytest.raises(ConversionError, match="'mine'.*`call` of its own"):
        convert(Model(inputs, outputs, name="mine"), "tflite")


PADS = ((0, 0), (1, 0), (2, 1), (0, 0))


@pytest.mark.parametrize(
    "layer, expected",
    [
        (K.ZeroPadding2D(PADS[1:3]), (PADS, 0.0)),
        (
            K.ZeroPadding2D(PADS[1:3], data_format=FIRST),
            (((0, 0), *PADS[:3]), 0.0),
        ),
        (K.Cropping2D(PADS[1:3]), None),
        (lambda x: keras.ops.pad(x, PADS), (PADS, 0.0)),
        (lambda x: keras.ops.pad(x, PADS, constant_values=2), (PADS, 2.0)),
        (lambda x: keras.ops.pad(x, 1), (((1, 1),) * 4, 0.0)),
        (lambda x: keras.ops.pad(x, PADS, mode="reflect"), None),
    ],
)
def test_padding(layer, expected):
    x = keras.Input((5, 6, 7))
    operation, *_ = layer(x)._keras_history
    node = operation._inbound_nodes[-1]
    args, kwargs = node.arguments.args, node.arguments.kwargs
    assert padding(operation, args, kwargs) == expected
