"""Keras's layers at the ends of their range, in floats."""

import keras
import numpy as np
import pytest

from keras_aqe.converters import Interpreter, convert

K = keras.layers

# Numbers of few bits, so that sums of a row are the same in any order.
PATTERNS = [
    [0.0],
    [-0.0],
    [1.0],
    [-1.0],
    [1.0, -1.0],
    [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [2.0, 1.0, 2.0, 2.0],
    [0.5, 1.5, 2.5, 3.5, -0.5, -1.5, -2.5, -3.5],
    [6.0, 3.0, -3.0, -6.0, 0.25, -0.25, 7.0, -0.0],
]
# Squares of the largest are infinite, of the smallest 0.
EXPONENTS = [-100, -70, -30, -10, -3, 0, 1, 3, 7, 12, 30, 70, 90]
GREATEST_OF_FINITE_SQUARE = np.sqrt(np.finfo("float32").max)

ACTIVATIONS = [
    *("celu", "elu", "exponential", "gelu", "glu", "hard_shrink"),
    *("hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "linear"),
    *("log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu"),
    *("sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign"),
    *("sparse_plus", "sparse_sigmoid", "squareplus", "tanh", "tanh_shrink"),
]
VECTORS = [
    *(K.Activation(name) for name in ACTIVATIONS),
    K.ReLU(6.0, 0.1, 0.5),
    K.LeakyReLU(0.3),
    K.PReLU("ones"),
    K.ELU(0.5),
    K.Softmax(),
    K.BatchNormalization(),
    K.Discretization([-1.0, 0.0, 0.5, 3.0]),
    K.GroupNormalization(2),
    K.LayerNormalization(),
    K.Normalization(mean=1.0, variance=0.0),
    K.RMSNormalization(epsilon=1e-20),
    K.UnitNormalization(),
    K.Rescaling(1 / 127.5, -1),
    K.Dense(2, "softplus", kernel_initializer="ones"),
    K.EinsumDense("ab,bc->ac", 3, kernel_initializer="ones"),
    K.Masking(),
    K.RepeatVector(2),
    K.Reshape((2, 4)),
    K.SpectralNormalization(K.Dense(2, kernel_initializer="ones")),
]
SEQUENCES = [
    K.AdaptiveAveragePooling1D(2),
    K.AdaptiveMaxPooling1D(2),
    K.AveragePooling1D(2, padding="same"),
    K.Conv1D(2, 3, padding="causal", kernel_initializer="ones"),
    K.Cropping1D(1),
    K.DepthwiseConv1D(2, depthwise_initializer="ones"),
    K.GlobalAveragePooling1D(),
    K.GlobalMaxPooling1D(),
    K.GRU(2),
    K.LSTM(2, recurrent_activation="hard_sigmoid", activation="softplus"),
    K.MaxPooling1D(2, padding="same"),
    K.SimpleRNN(2),
    K.TimeDistributed(K.UnitNormalization()),
    K.UpSampling1D(2),
    K.ZeroPadding1D(1),
    # Two halves of a sequence.
    K.Add(),
    K.AdditiveAttention(),
    K.Attention(),
    K.Average(),
    K.Concatenate(),
    K.Dot(2),
    K.Dot(2, normalize=True),
    K.Maximum(),
    K.Minimum(),
    K.Multiply(),
    K.Subtract(),
]
IMAGES = [
    K.AdaptiveAveragePooling2D(2),
    K.AdaptiveMaxPooling2D(2),
    K.AveragePooling2D(2, padding="same"),
    K.BatchNormalization(axis=1),
    K.CenterCrop(1, 2),
    K.Conv2D(2, 2, kernel_initializer="ones"),
    K.Cropping2D(((0, 1), (1, 0))),
    K.DepthwiseConv2D(2, depthwise_initializer="ones"),
    K.Flatten(data_format="channels_first"),
    K.GlobalAveragePooling2D(),
    K.GlobalMaxPooling2D(),
    K.LayerNormalization(axis=(1, 2, 3)),
    K.MaxPooling2D(2, padding="same"),
    K.Permute((3, 1, 2)),
    K.Resizing(1, 2),
    K.Softmax(axis=(1, 2)),
    K.UnitNormalization(axis=(1, 2)),
    K.UpSampling2D(2),
    K.UpSampling2D(2, interpolation="bilinear"),
    K.ZeroPadding2D(1),
]
MERGING = (
    *(K.Add, K.AdditiveAttention, K.Attention, K.Average, K.Concatenate),
    *(K.Dot, K.Maximum, K.Minimum, K.Multiply, K.Subtract),
)


def edges(shape):
    """A row for each pattern and exponent."""
    rows = [
        np.ldexp(np.resize(pattern, np.prod(shape)), exponent)
        for pattern in PATTERNS
        for exponent in EXPONENTS
    ]
    return np.array(rows, "float32").reshape(-1, *shape)


def depends_on_order(layer, row):
    """Whether products overflow that are summed: inf - inf, or fused, inf."""
    overflow = np.abs(row).max() > GREATEST_OF_FINITE_SQUARE
    return overflow and type(layer) is K.Dot and not layer.normalize


def called(layer, x):
    return layer([x[:, :2], x[:, 2:]] if isinstance(layer, MERGING) else x)


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape, layers, target",
    [
        ((8,), VECTORS, "tflite"),
        # Recurrent layers stay loops under this target.
        ((4, 2), SEQUENCES, "lce"),
        ((2, 4, 1), IMAGES, "tflite"),
    ],
    ids=["vectors", "sequences", "images"],
)
def test_layers_at_the_ends_of_their_range(shape, layers, target, request):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, [called(layer, inputs) for layer in layers])
    x = edges(shape)
    if request.config.pluginmanager.has_plugin("tests.without_xnnpack"):
        # LiteRT's own kernels cut sums and products off at the greatest float.
        x = x[np.abs(x).reshape(len(x), -1).max(-1) < GREATEST_OF_FINITE_SQUARE]
    expected = model(x, training=False)
    received = Interpreter(convert(model, target)).predict(x)
    for layer, ours, theirs in zip(layers, expected, received, strict=True):
        ours = ours.numpy().reshape(len(x), -1)
        theirs = theirs.reshape(len(x), -1)
        for row, a, b in zip(x, ours, theirs):
            if depends_on_order(layer, row):
                continue
            largest = np.abs(a[np.isfinite(a)]).max(initial=1)
            np.testing.assert_allclose(
                b, a, 1e-5, 1e-6 * largest, err_msg=f"{layer.name} of {row}"
            )
