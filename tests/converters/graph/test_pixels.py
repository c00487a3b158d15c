"""Sums of an 8-bit image, which are those of whole numbers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_aqe import callbacks, layers, models
from keras_aqe.converters import ConversionError, Interpreter, convert
from keras_aqe.converters.graph.build import build
from keras_aqe.converters.graph.nodes import Pixels, Sum
from tests.combinations import each_once
from tests.converters.networks import TARGETS
from tests.randomised import randomise

SIZE, CHANNELS = 9, 2
# Layers in front of a network, and what they compute, exactly.
NORMALISATIONS = {
    "x / 128 - 1": (
        [keras.layers.Rescaling(1 / 128, -1)],
        lambda x: x / 128 - 1,
    ),
    "x / 127.5 - 1": (
        [keras.layers.Rescaling(1 / 127.5, -1)],
        lambda x: x / 127.5 - 1,
    ),
    "x / 255": ([keras.layers.Rescaling(1 / 255)], lambda x: x / 255),
    "(x - mean) / 64": (
        [keras.layers.Rescaling(1 / 64, [-125 / 64, -122 / 64])],
        lambda x: (x - [125, 122]) / 64,
    ),
    "(x / 255 - 1 / 2) / std": (
        [
            keras.layers.Rescaling(1 / 255),
            keras.layers.Normalization(mean=0.5, variance=0.25),
        ],
        lambda x: (x / 255 - 0.5) / 0.5,
    ),
}
# Of these every value is a multiple of a power of two.
EXACT = ["x / 128 - 1", "(x - mean) / 64"]


def pixels(dtype="uint8", examples=3):
    limits = np.iinfo(dtype)
    random = np.random.default_rng(0)
    shape = (examples, SIZE, SIZE, CHANNELS)
    return random.integers(limits.min, limits.max + 1, shape).astype(dtype)


def branches(x):
    """Codes of quantized layers of all kinds on one image."""
    flat = keras.layers.Flatten()(x)
    pooled = keras.layers.ZeroPadding2D(1)(keras.layers.MaxPooling2D(2)(x))
    sums = [
        layers.QuantConv2D(5, 3, padding="same", kernel_quantizer="po2_3")(x),
        layers.QuantConv2D(
            5, 3, padding="same", pad_value=1.0, kernel_quantizer="ternary"
        )(x),
        layers.QuantConv2D(5, 2, strides=2, kernel_quantizer="binary")(pooled),
        layers.QuantDepthwiseConv2D(3, kernel_quantizer="ternary")(x),
        layers.QuantConv2DTranspose(3, 3, 2, kernel_quantizer="binary")(x),
        layers.QuantDense(5, kernel_quantizer="ternary")(flat),
    ]
    norms = [keras.layers.BatchNormalization()(y) for y in sums]
    return [layers.QuantActivation("po2_3")(y) for y in norms], sums, norms


def network(normalisation, dtype="uint8"):
    x = inputs = keras.Input((SIZE, SIZE, CHANNELS), dtype=dtype)
    for layer in normalisation:
        x = type(layer).from_config(layer.get_config())(x)
    codes, sums, norms = branches(x)
    model = randomise(keras.Model(inputs, codes))
    return model, keras.Model(x, sums), keras.Model(sums, [codes, norms])


def exact_sums(model, x):
    """What the layers on the image give in double precision."""
    double = keras.models.clone_model(
        model,
        clone_function=lambda layer: type(layer).from_config(
            {**layer.get_config(), "dtype": "float64"}
        ),
    )
    double.set_weights(model.get_weights())
    return [np.float32(y) for y in double(tf.constant(x, tf.float64))]


# Each normalisation and each target; all pairs take twenty seconds.
@pytest.mark.slow
@pytest.mark.parametrize(
    "name, target", each_once(list(NORMALISATIONS), TARGETS)
)
def test_codes_are_those_of_exact_sums(name, target):
    normalisation, exactly = NORMALISATIONS[name]
    model, sums, rest = network(normalisation)
    x = pixels()
    expected, _ = rest(exact_sums(sums, exactly(x.astype("float64"))))
    found = Interpreter(convert(model, target).flatbuffer).predict(x)
    for ours, theirs in zip(expected, found, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_signed_pixels(target):
    model, *_ = network([keras.layers.Rescaling(1 / 128)], "int8")
    x = pixels("int8")
    found = Interpreter(convert(model, target).flatbuffer).predict(x)
    for ours, theirs in zip(model(x), found, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", EXACT)
def test_floats_of_a_power_of_two_sum_up_alike_in_any_order(name):
    """What makes Keras's own sums the same on every processor."""
    _, exactly = NORMALISATIONS[name]
    image = exactly(pixels().astype("float64"))
    kernel = np.random.default_rng(1).choice([-1, -0.5, -0.25, 0, 0.5, 1], 162)
    products = np.float32(image.reshape(3, -1) * kernel)
    expected = (image.reshape(3, -1) * kernel).sum(-1)
    random = np.random.default_rng(2)
    for lanes in (1, 2, 3, 6, 9, 27):
        for _ in range(5):
            order = random.permutation(products.shape[-1])
            parts = products[:, order].reshape(3, lanes, -1)
            total = np.zeros(3, "float32")
            for lane in np.cumsum(parts, axis=-1, dtype="float32")[..., -1].T:
                total = total + lane
            np.testing.assert_array_equal(total, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", NORMALISATIONS)
def test_image_is_whole(name):
    model, *_ = network(NORMALISATIONS[name][0])
    graph = build(model)
    image = [n for n in graph.nodes if isinstance(n, Pixels)][-1]
    np.testing.assert_array_equal(image.levels, np.rint(image.levels))
    x = np.arange(256.0)[:, None]
    np.testing.assert_allclose(
        image.unit * (x * image.scale + image.offset),
        NORMALISATIONS[name][1](x * np.ones(CHANNELS)),
        atol=1e-6,
    )
    for node in graph.nodes:
        if isinstance(node, Sum):
            assert node.levels is not None, node.name


@pytest.mark.slow
@pytest.mark.parametrize(
    "normalisation",
    [
        [
            keras.layers.Normalization(
                mean=[125.3, 122.9], variance=[3969, 4400]
            )
        ],
        [keras.layers.Rescaling(0.1234, [0.5, 0.7])],
        [keras.layers.Normalization(axis=(1, 2), mean=1.0, variance=1.0)],
    ],
)
def test_other_images_stay_floats(normalisation):
    model, *_ = network(normalisation)
    for node in build(model).nodes:
        assert not isinstance(node, Pixels) or node.levels is None


@pytest.fixture(scope="module")
def trained():
    """A network on pixels, the part behind their normalisation, and that."""
    rescaling = keras.layers.Rescaling(1 / 128, -1)
    inner = models.MINWNet(
        "D", 2, 2, input_shape=(16, 16, 3), filters=4, dense_units=8
    )
    model = keras.Sequential(
        [keras.Input((16, 16, 3), dtype="uint8"), rescaling, inner]
    )
    model.compile("adam", "mse", run_eagerly=True)
    x = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), "uint8")
    scheduler = callbacks.AlphaScheduler()
    model.fit(x, np.eye(8, 10), verbose=0, callbacks=[scheduler], epochs=7)
    return model, inner, rescaling, x


@pytest.mark.slow
@pytest.mark.parametrize("place, target", each_once(["told", "in it"], TARGETS))
def test_minw_net_from_uint8(trained, place, target):
    """From fit to file, the normalisation in the model or told to `convert`."""
    model, inner, rescaling, x = trained
    if place == "told":
        converted = convert(inner, target, image=rescaling)
    else:
        converted = convert(model, target)
    found = Interpreter(converted.flatbuffer).predict(x)
    np.testing.assert_allclose(found, model(x), rtol=0, atol=1e-4)
    assert converted.report[0].input_bits == 8


@pytest.mark.parametrize(
    "image, match",
    [
        (keras.layers.Dense(3), "Dense"),
        ("x / 255", "x / 255"),
        ([keras.layers.Rescaling(1 / 255), 3], "3"),
    ],
)
def test_images_that_are_no_normalisation(image, match):
    model = keras.Sequential([keras.Input((4,)), layers.QuantDense(2)])
    with pytest.raises(ValueError, match=f"`image` must be.*{match}"):
        convert(model, image=image)


def test_an_image_among_several_inputs():
    inputs = [keras.Input((4,)), keras.Input((4,))]
    model = keras.Model(inputs, keras.layers.Add()(inputs))
    with pytest.raises(ConversionError, match="2 inputs"):
        convert(model, image=keras.layers.Rescaling(1 / 255))
