"""Layers in front of the first quantized one."""

import keras
import numpy as np
import pytest

from keras_aqe import layers, quantizers
from keras_aqe.converters import ConversionError, Interpreter, convert, verify
from keras_aqe.converters.graph.build import build
from keras_aqe.inference import is_identity
from tests.converters.networks import TARGETS
from tests.keras_aqe.test_inference import K, image_layers, make
from tests.randomised import images, randomise


def network(*first, shape=(6, 6, 3), dtype="float32"):
    """A network whose first convolution sees what some layers return."""
    x = inputs = keras.Input(shape, dtype=dtype)
    for layer in first:
        x = layer(x)
    x = layers.QuantConv2D(8, 3, kernel_quantizer="binary", name="image")(x)
    x = keras.layers.BatchNormalization()(x)
    x = layers.QuantActivation("ternary", name="codes")(x)
    x = keras.layers.GlobalMaxPooling2D()(x)
    x = layers.QuantDense(3, kernel_quantizer="binary")(x)
    return randomise(keras.Model(inputs, x))


def assert_equal(model, target, x):
    verification = verify(model, convert(model, target), x)
    assert verification.labels_equal and verification.codes_equal
    assert verification.max_relative_error < 1e-6


@pytest.mark.slow
def test_layers_that_do_nothing():
    """All those of Keras at once, in front of the image layer."""
    made = [make(name) for name in image_layers()]
    idle = [
        layer
        for layer, image in made
        if len(image.shape) == 4
        and is_identity(layer, (image,))
        # Keras cannot build a model of a layer that declares its very input.
        and layer.compute_output_spec(image) is not image
    ]
    assert len(idle) > 30
    graph = build(network(*idle))
    assert graph.sums[0].source is graph.inputs[0]


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_preprocessing_without_trained_weights(target):
    model = network(
        K.GaussianNoise(0.5),
        K.RandomRotation(0.5),
        K.CenterCrop(8, 8),
        K.Normalization(mean=0.5, variance=4.0),
        K.Pipeline([K.RandomFlip(), K.Rescaling(0.5)]),
        lambda x: x / 2.0 - 0.25,
        K.AveragePooling2D(2),
        K.Resizing(7, 7, interpolation="nearest"),
        K.ZeroPadding2D(1),
        shape=(9, 9, 3),
    )
    assert build(model).sums[0].source.is_image
    assert_equal(model, target, images((9, 9, 3)))


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_augmentation_of_bytes(target):
    model = network(K.RandomFlip(), K.Rescaling(1 / 128, -1), dtype="uint8")
    assert build(model).sums[0].source.is_image
    x = np.random.default_rng(0).integers(0, 256, (3, 6, 6, 3), "uint8")
    assert_equal(model, target, x)


@pytest.mark.parametrize("trainable", [True, False])
def test_a_trained_layer_makes_no_image(trainable):
    model = network(K.Conv2D(3, 1, trainable=trainable))
    assert not build(model).sums[0].source.is_image
    with pytest.raises(ConversionError, match="neither quantized nor"):
        convert(model, "lce")


def test_a_crop_that_does_not_crop_at_inference():
    model = network(K.RandomCrop(4, 4, name="crop"))
    with pytest.raises(ConversionError, match="'crop'.*training data"):
        convert(model)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_masks_behind_quantized_layers(target):
    """Steps that are all zero do not count in the mean, in the file too."""
    bits = {"input_quantizer": "ternary", "kernel_quantizer": "binary"}
    inputs = keras.Input((5, 4))
    x = layers.QuantDense(6, **bits)(K.Masking()(inputs))
    x = layers.HardTanh()(K.BatchNormalization()(x))
    x = layers.QuantDense(6, **bits)(layers.QuantActivation("po2_3")(x))
    outputs = K.GlobalAveragePooling1D()(quantizers.Ternary()(x))
    model = randomise(keras.Model(inputs, outputs))
    x = images((5, 4))
    x[0, 3:] = x[2, 1:] = 0
    short = keras.Model(model.input, model.layers[-2].output)(x)[0, :3]
    np.testing.assert_allclose(model(x)[0], np.mean(short, axis=0), rtol=1e-6)
    received = Interpreter(convert(model, target).flatbuffer).predict(x)
    np.testing.assert_allclose(received, model(x), rtol=1e-6)
