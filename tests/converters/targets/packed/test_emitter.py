"""Which operators of the packed format stand for which layers."""

import keras
import pytest

from keras_aqe import layers, models
from keras_aqe.converters import convert, verify
from tests.converters.targets.packed.networks import (
    assert_equal,
    operators,
)
from tests.randomised import images, randomise


def residual(x, quantizer, codes):
    y = layers.QuantActivation(quantizer)(x)
    codes.append(y)
    y = layers.QuantConv2D(
        x.shape[-1],
        3,
        padding="same",
        use_bias=False,
        kernel_quantizer="ternary",
    )(y)
    y = keras.layers.BatchNormalization()(y)
    return keras.layers.Add()([x, y])


@pytest.mark.slow
def test_a_residual_block_is_one_operator():
    x = inputs = keras.Input((8, 8, 6))
    codes = []
    for quantizer in ("binary", "po2_3", "fixed_8"):
        x = residual(x, quantizer, codes)
    model = randomise(keras.Model(inputs, [*codes, x]))
    converted = assert_equal(model, images((8, 8, 6)))
    # It scales its sum, adds the shortcut and quantizes for the next.
    written = operators(converted)
    assert written.count("AqeQuantize") == 1  # of the image
    # The last sum is an output.
    assert set(written) == {"AqeQuantize", "AqeConv2D", "AqeDequantize", "ADD"}
    assert written.count("ADD") == 1
    assert [row.op for row in converted.report] == [
        *["AqeConv2D + addition + quantizer"] * 2,
        "AqeConv2D",
    ]


@pytest.mark.slow
def test_eight_bits_are_rounded_by_the_operator_of_the_sum():
    def norm(x):
        return keras.layers.BatchNormalization()(x)

    def tanh(x):
        return keras.layers.Activation("hard_tanh")(x)

    pool = keras.layers.MaxPooling2D
    x = inputs = keras.Input((40, 40, 3))
    codes = []
    for order in (
        [],
        [tanh],
        [norm, tanh],
        [pool(), norm],
        [norm, pool(), tanh],
    ):
        x = layers.QuantConv2D(
            21, 3, kernel_quantizer="po2_3", use_bias=len(codes) > 0
        )(x)
        for step in order:
            x = step(x)
        x = layers.QuantActivation("fixed_8")(x)
        codes.append(x)
    dense = layers.QuantDense(9, kernel_quantizer="binary", use_bias=False)
    x = layers.QuantActivation("fixed_8")(norm(dense(x)))
    codes.append(x)
    x = layers.QuantConv2D(5, 1, kernel_quantizer="ternary")(x)
    model = randomise(keras.Model(inputs, [*codes, x]))
    written = operators(assert_equal(model, images((40, 40, 3))))
    # It follows batch normalisation, whose scale may be negative.
    assert written.count("AqeMaxPool2D") == 1
    assert all(name.startswith("Aqe") for name in written)
    assert "AqeQuantize" not in written


def test_unsigned_codes_take_no_more_thresholds_than_they_have():
    x = inputs = keras.Input((4,))
    for bits in (2, 3, 4):
        x = layers.QuantDense(64, use_bias=False, kernel_quantizer="binary")(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
        x = layers.QuantActivation(f"unsigned_{bits}")(x)
    x = layers.QuantDense(3, kernel_quantizer="binary")(x)
    converted = assert_equal(randomise(keras.Model(inputs, x)), images((4,)))
    assert set(operators(converted)) == {"AqeFullyConnected"}
    # Beside weights, thresholds of 4 bytes for each channel, and a direction.
    sizes = [row.bytes - row.weight_bytes for row in converted.report]
    assert [size // (64 * 4) for size in sizes[:3]] == [3, 7, 15]


def test_dense_layers_on_pixels():
    x = inputs = keras.Input((4, 5, 6))
    x = layers.QuantDense(8, kernel_quantizer="binary")(x)
    x = layers.QuantActivation("binary")(x)
    codes = keras.layers.Reshape((20, 8))(x)
    x = layers.QuantDense(
        3, input_quantizer="ternary", kernel_quantizer="ternary"
    )(codes)
    model = randomise(keras.Model(inputs, [codes, x]))
    assert_equal(model, images((4, 5, 6)))


@pytest.mark.slow
def test_a_deep_network():
    x = inputs = keras.Input((4,))
    for _ in range(100):
        x = layers.QuantDense(
            4, input_quantizer="binary", kernel_quantizer="binary"
        )(x)
    assert_equal(randomise(keras.Model(inputs, x)), images((4,)))


@pytest.mark.slow
def test_residual_networks_are_convolutions_and_nothing_else():
    """Those scale, pool, add up and quantize."""
    model = models.ResNet18(2, 2, (32, 32, 3), 10, filters=4)
    converted = assert_equal(randomise(model), images((32, 32, 3)))
    builtin = [n for n in operators(converted) if not n.startswith("Aqe")]
    # Behind the last block batch normalisation feeds an average.
    assert builtin == ["MUL", "ADD", "MEAN"]
    assert operators(converted).count("AqeQuantize") == 1


def test_dense_networks_concatenate_for_their_last_layer_alone():
    """Quantizers read the parts where convolutions wrote them."""
    model = models.DenseNet100(3, 2, (8, 8, 3), 10, depth=16)
    converted = assert_equal(randomise(model), images((8, 8, 3)))
    written = operators(converted)
    assert written.count("CONCATENATION") == 1
    # In front of each layer and transition, and of the last dense layer.
    assert written.count("AqeQuantize") == 2 * 3 + 2 + 1


def test_parts_of_all_kinds():
    """Of one channel and many, read more than once, of codes and of floats."""
    inputs = keras.Input((6, 6, 5))
    codes = [layers.QuantActivation("ternary")(inputs)]
    x, y, z = [
        layers.QuantConv2D(filters, 1, kernel_quantizer="binary")(codes[0])
        for filters in (1, 70, 5)
    ]
    concatenated = [
        keras.layers.Concatenate()([x, inputs, y]),
        keras.layers.Concatenate(axis=3)([codes[0], y, y]),
        keras.ops.concatenate([keras.ops.concatenate([x, x], -1), z], axis=3),
        # By rows: copied.
        keras.layers.Concatenate(axis=1)([inputs, z]),
    ]
    for each in concatenated:
        for quantizer in ("binary", "po2_3", "fixed_8"):
            x = keras.layers.BatchNormalization()(each)
            codes.append(layers.QuantActivation(quantizer)(x))
    outputs = layers.QuantConv2D(2, 6, kernel_quantizer="binary")(codes[-1])
    model = randomise(keras.Model(inputs, [*codes, outputs]))
    converted = assert_equal(model, images((6, 6, 5)))
    assert operators(converted).count("CONCATENATION") == 1


@pytest.mark.slow
def test_words_of_codes_are_moved_as_they_are():
    """Pixels of several words, at their end not full, and of bytes."""
    K = keras.layers
    inputs = keras.Input((6, 5, 3))
    outputs = []
    for quantizer in ("binary", "po2_3", "unsigned_2"):
        x = layers.QuantConv2D(70, 1, kernel_quantizer="ternary")(inputs)
        for layer in (
            K.BatchNormalization(),
            K.UpSampling2D((2, 3)),
            K.Cropping2D(((1, 0), (2, 1))),
            K.Permute((2, 1, 3)),
            layers.QuantActivation(quantizer),
            # More than the kernel reaches, so that no window can do it.
            *([] if quantizer[0] == "u" else [pad_by_codes(quantizer)]),
            layers.QuantConv2D(2, 1, kernel_quantizer="ternary"),
        ):
            x = layer(x)
        outputs.append(x)
    model = randomise(keras.Model(inputs, outputs))
    converted = assert_equal(model, images((6, 5, 3)))
    written = operators(converted)
    assert written.count("AqeConv2D") == 6
    moves = {"CONCATENATION", "PAD", "RESHAPE", "STRIDED_SLICE", "TRANSPOSE"}
    assert set(written) == {"AqeConv2D", *moves}


def pad_by_codes(quantizer):
    """A layer that pads by the code whose words have no bit."""
    number = 1.0 if quantizer == "binary" else 0.0
    return lambda x: keras.ops.pad(
        x, [(0, 0), (2, 0), (0, 1), (0, 0)], constant_values=number
    )


@pytest.mark.slow
def test_eight_bits_without_a_sign_are_no_builtin_operators():
    """Nor are sums of them, which make up for the shift."""
    K = keras.layers
    x = inputs = keras.Input((8, 8, 3))
    shortcut = None
    for _ in range(3):
        x = layers.QuantDepthwiseConv2D(
            3,
            padding="same",
            input_quantizer="unsigned_8",
            kernel_quantizer="po2_4",
        )(K.ReLU(6)(x))
        x = K.Activation("relu6")(x)
        x = layers.QuantConv2D(
            4,
            1,
            input_quantizer="unsigned_8",
            kernel_quantizer="po2_3",
            use_bias=False,
        )(x)
        x = K.BatchNormalization()(x)
        x = x if shortcut is None else K.Add()([shortcut, x])
        shortcut = x
    x = layers.QuantActivation("ternary")(x)
    x = layers.QuantConv2D(2, 1, kernel_quantizer="binary")(x)
    model = randomise(keras.Model(inputs, x))
    converted = convert(model)
    verification = verify(model, converted, images((8, 8, 3)))
    assert verification.faultless and len(verification.code_agreement) == 7
    assert set(operators(converted)) == {
        *("AqeConv2D", "AqeDepthwiseConv2D", "AqeQuantize"),
        "RELU6",  # of the image
    }
