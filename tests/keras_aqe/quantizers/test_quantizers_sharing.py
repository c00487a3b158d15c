"""One quantizer in several places: saved, loaded, cloned, converted."""

import keras
import numpy as np
import pytest

from keras_aqe import converters, quantizers
from keras_aqe.callbacks import find
from keras_aqe.layers import (
    QuantActivation,
    QuantConv2D,
    QuantDense,
    QuantSeparableConv2D,
)
from tests.randomised import images


def dense(quantizer=None, kernel_quantizer="binary"):
    return QuantDense(
        6, input_quantizer=quantizer, kernel_quantizer=kernel_quantizer
    )


def functional(*sequence, shape=(6,)):
    x = inputs = keras.Input(shape)
    for layer in sequence:
        x = layer(x)
    return keras.Model(inputs, x)


def kernels(q):
    return functional(dense("binary", q), dense("binary", q))


def inputs(q):
    return functional(dense(q), dense(q))


def input_and_kernel(q):
    return functional(dense(q, q), dense(q, q))


def layer_then_argument(q):
    return functional(q, dense(q))


def argument_then_layer(q):
    return functional(dense(q), q, QuantActivation(q), dense())


def layer_twice(q):
    return functional(q, keras.layers.Rescaling(0.5), q, dense())


def nested(q):
    inner = functional(dense(q))
    return functional(inner, dense(q), inner)


def sequential(q):
    inner = keras.Sequential([dense(q), QuantActivation(q)])
    return keras.Sequential([keras.Input((6,)), inner, q, dense(q)])


def layer_in_two_places(q):
    twice = dense("ternary", q)
    return functional(twice, twice, dense("ternary", q))


def wrapped(q):
    return functional(
        keras.layers.TimeDistributed(dense("binary", q)),
        keras.layers.TimeDistributed(dense("binary", q)),
        shape=(2, 6),
    )


def convolutions(q):
    return functional(
        QuantSeparableConv2D(3, 3, kernel_quantizer=q),
        QuantActivation("binary"),
        QuantConv2D(3, 3, kernel_quantizer=q),
        shape=(6, 6, 2),
    )


MODELS = [
    *(kernels, inputs, layer_then_argument, argument_then_layer, layer_twice),
    *(nested, sequential, layer_in_two_places, wrapped, convolutions),
    input_and_kernel,
]


def build(make, alpha=0.25):
    quantizer = quantizers.Binary(stochastic=True, name="the_shared")
    model = make(quantizer)
    for number, each in enumerate(find(model)):
        each.alpha.assign(alpha + number / 64)
    return model


def assert_same(model, other):
    x = images(model.input_shape[1:])
    np.testing.assert_array_equal(other(x), model(x))
    ours, theirs = (
        [quantizer.name == "the_shared" for quantizer in find(each)]
        for each in (model, other)
    )
    assert ours == theirs and sum(ours) == 1
    for ours, theirs in zip(find(model), find(other)):
        assert float(ours.alpha) == float(theirs.alpha)


@pytest.mark.parametrize("make", MODELS)
def test_a_loaded_model_shares_it_too(make, tmp_path):
    model = build(make)
    model.save(tmp_path / "model.keras")
    assert_same(model, keras.models.load_model(tmp_path / "model.keras"))


@pytest.mark.parametrize("make", MODELS)
def test_weights_go_into_a_model_that_shares_it_too(make, tmp_path):
    model = build(make)
    model.save_weights(tmp_path / "model.weights.h5")
    other = build(make, alpha=0.5)
    other.load_weights(tmp_path / "model.weights.h5")
    assert_same(model, other)


@pytest.mark.parametrize("make", MODELS)
def test_legacy_files_are_the_network(make, tmp_path):
    """They have no sign for sharing, so layers get quantizers of their own.

    The layers of a nested model are one to them, whose weights then differ in
    number.
    """
    model = build(make)
    model.save(tmp_path / "model.h5")
    if make is sequential:
        with pytest.raises(ValueError, match="mismatch.*sequential"):
            keras.models.load_model(tmp_path / "model.h5")
        return
    loaded = keras.models.load_model(tmp_path / "model.h5")
    x = images(model.input_shape[1:])
    np.testing.assert_array_equal(loaded(x), model(x))


def test_a_clone_has_one_quantizer_for_input_and_kernel_too():
    clone = keras.models.clone_model(build(input_and_kernel))
    for layer in clone.layers[1:]:
        assert layer.input_quantizer is layer.kernel_quantizer


def test_weights_do_not_go_into_a_clone_that_does_not_share_it(tmp_path):
    model = build(kernels)
    model.save_weights(tmp_path / "model.weights.h5")
    clone = keras.models.clone_model(model)
    with pytest.raises(ValueError, match="shared one quantizer"):
        clone.load_weights(tmp_path / "model.weights.h5")


@pytest.mark.tensorflow
@pytest.mark.parametrize("make", [input_and_kernel, nested, sequential])
def test_a_file_is_the_network(make):
    model = build(make)
    converted = converters.convert(model, strict=False)
    x = images(model.input_shape[1:])
    verification = converters.verify(model, converted, x)
    assert verification.codes_equal and verification.labels_equal
    assert verification.max_relative_error < 1e-6
