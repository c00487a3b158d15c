"""Layers that pad or move, in front of quantizers and behind them."""

import functools
import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_aqe import layers
from keras_aqe.converters import convert, verify
from keras_aqe.converters.graph import nodes
from keras_aqe.converters.graph.build import build
from keras_aqe.converters.reference import Reference
from tests.converters.networks import TARGETS, computed
from tests.randomised import images, randomise

K = keras.layers
SHAPE = (9, 8, 3)
BITS = {"kernel_quantizer": "ternary", "use_bias": False}


def pad(top, bottom, left, right):
    return K.ZeroPadding2D(((top, bottom), (left, right)))


def pad_by_operation(**how):
    pads = [(0, 0), (1, 0), (0, 2), (0, 0)]
    return functools.partial(keras.ops.pad, pad_width=pads, **how)


def quant(name):
    return lambda: layers.QuantActivation(name)


# Layers between a sum and a convolution, whose window pads in their place.
FOLDED = {
    "in front": (K.ReLU, lambda: pad(0, 1, 0, 1), quant("unsigned_2")),
    "behind": (K.ReLU, quant("unsigned_8"), lambda: pad(1, 0, 2, 1)),
    "no code for 0": (lambda: pad(1, 1, 1, 1), quant("binary")),
    "0 behind": (quant("binary"), lambda: pad(1, 1, 1, 1)),
    "relu behind": (lambda: pad(0, 1, 2, 0), K.ReLU, quant("unsigned_1")),
    "pool in front": (
        lambda: K.MaxPooling2D(2, 1),
        lambda: pad(2, 1, 1, 2),
        quant("po2_3"),
    ),
    "several": (
        lambda: pad(0, 1, 0, 0),
        lambda: pad(1, 0, 0, 1),
        quant("ternary"),
        lambda: pad(0, 0, 1, 0),
    ),
    "operation": (
        lambda: pad_by_operation(constant_values=0.75),
        quant("ternary"),
    ),
    "operation behind": (
        quant("po2_3"),
        lambda: pad_by_operation(constant_values=-0.5),
    ),
}
# What no window can do.
LEFT = {
    "norm behind": (
        lambda: pad(1, 1, 1, 1),
        K.BatchNormalization,
        quant("ternary"),
    ),
    "reflected": (lambda: pad_by_operation(mode="reflect"), quant("ternary")),
    "pool behind": (
        lambda: pad(1, 1, 1, 1),
        quant("ternary"),
        lambda: K.MaxPooling2D(2),
    ),
    "more than a kernel": (quant("binary"), lambda: pad(2, 0, 1, 4)),
    "two numbers": (
        quant("binary"),
        lambda: pad_by_operation(constant_values=-1.0),
        lambda: pad(1, 1, 1, 1),
    ),
}
# Layers that quantizers stand in front of as well.
MOVED = {
    "upsampling": (lambda: K.UpSampling2D((2, 3)), K.ReLU, quant("unsigned_2")),
    "upsampling, norm": (
        lambda: K.UpSampling2D((1, 2)),
        K.BatchNormalization,
        quant("ternary"),
    ),
    "cropping": (lambda: K.Cropping2D(((2, 1), (0, 1))), quant("po2_3")),
    "permute": (lambda: K.Permute((2, 1, 3)), quant("binary")),
    "sequence": (
        lambda: K.Reshape((42, 4)),
        K.ReLU,
        lambda: K.UpSampling1D(2),
        lambda: K.ZeroPadding1D((3, 1)),
        lambda: K.Cropping1D((1, 2)),
        lambda: K.Reshape((5, 17, 4)),
        quant("binary"),
    ),
    "padding": (lambda: pad(1, 0, 0, 2), quant("ternary")),
}
CONVOLUTIONS = (
    lambda: layers.QuantConv2D(3, 3, 2, **BITS),
    lambda: layers.QuantDepthwiseConv2D(3, 2, **BITS),
    lambda: layers.QuantSeparableConv2D(2, 3, **BITS),
)
OTHERS = (
    lambda: layers.QuantConv2D(2, 1, **BITS),
    lambda: layers.QuantConv2DTranspose(3, 3, **BITS),
    lambda: layers.QuantConv2D(3, 2, padding="same", **BITS),
)


def branch(x, makers, convolution):
    x = K.BatchNormalization()(layers.QuantConv2D(4, 3, **BITS)(x))
    for make in makers:
        x = make()(x)
    x = K.BatchNormalization()(convolution()(x))
    return layers.QuantActivation("ternary")(x)


@functools.cache
def network():
    inputs = keras.Input(SHAPE)
    outputs = [
        branch(inputs, makers, convolution)
        for cases, convolutions in (
            (FOLDED, CONVOLUTIONS),
            (LEFT, OTHERS),
            (MOVED, OTHERS[:1]),
        )
        for makers, convolution in zip(
            cases.values(), itertools.cycle(convolutions)
        )
    ]
    return randomise(keras.Model(inputs, outputs))


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_codes_are_those_of_keras(target):
    model = network()
    verification = verify(model, convert(model, target), images(SHAPE))
    assert verification.faultless and verification.codes_equal
    assert len(verification.code_agreement) == 2 * len(model.outputs)


def test_windows_pad_in_the_place_of_layers():
    graph = build(network())
    # Each behind the sum in front of its codes.
    folded = graph.sums[1::2][: len(FOLDED)]
    for layer in folded:
        assert not isinstance(layer.source, (nodes.Pad, nodes.Apply))
        assert np.any(layer.window.pads)
    first = folded[0].window
    assert (first.pads, first.pad_code) == (((0, 1), (0, 1)), 0.0)


def test_quantizers_stand_in_front_of_what_moves():
    graph = build(network())
    alone = [
        node
        for node in graph.nodes
        if isinstance(node, nodes.Quantize) and len(node.levels) <= 16
    ]
    # Behind normalisation of padded channels, and behind a reflection.
    assert len(alone) == 2


def test_a_window_with_another_number_leaves_padding():
    inputs = keras.Input(SHAPE)
    x = layers.QuantConv2D(4, 3, **BITS)(inputs)
    x = layers.QuantActivation("binary")(pad(1, 1, 1, 1)(x))
    sums = [
        layers.QuantConv2D(2, 3, padding="same", pad_value=value, **BITS)(x)
        for value in (0.0, 1.0, -1.0)
    ]
    graph = build(keras.Model(inputs, sums))
    _, *found = graph.sums
    assert [isinstance(s.source, nodes.Pad) for s in found] == [1, 0, 1]
    assert found[1].window.pads == ((2, 2), (2, 2))


PADS = st.tuples(*[st.integers(0, 4)] * 4)


@pytest.mark.slow
@given(data=st.data())
def test_pads_of_all_widths(data):
    check_pads(data.draw)


# Over a minute.
@pytest.mark.long
@settings(max_examples=200)
@given(data=st.data())
def test_many_pads_of_all_widths(data):
    check_pads(data.draw)


def check_pads(draw):
    """The graph, with its windows, against Keras."""
    keras.utils.clear_session()
    quantizer = draw(
        st.sampled_from(["binary", "ternary", "unsigned_1", "unsigned_8"])
    )
    before, behind = (draw(st.lists(PADS, max_size=2)) for _ in range(2))
    makers = [
        *(functools.partial(pad, *pads) for pads in before),
        *([K.ReLU] if draw(st.booleans()) else []),
        quant(quantizer),
        *(functools.partial(pad, *pads) for pads in behind),
    ]
    kind = draw(
        st.sampled_from(
            [
                functools.partial(layers.QuantConv2D, 2),
                functools.partial(layers.QuantConv2DTranspose, 2),
                layers.QuantDepthwiseConv2D,
            ]
        )
    )
    strides = draw(st.integers(1, 3))
    convolution = functools.partial(
        kind,
        draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        strides=strides,
        dilation_rate=1 if strides > 1 else draw(st.integers(1, 2)),
        padding=draw(st.sampled_from(["same", "valid"])),
        **BITS,
    )
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, branch(inputs, makers, convolution))
    randomise(model, draw(st.integers(0, 99)))
    x, graph = images(SHAPE), build(model)
    found = Reference(graph, [x], {}).value(graph.outputs[0])
    np.testing.assert_array_equal(found, computed(model, x))
