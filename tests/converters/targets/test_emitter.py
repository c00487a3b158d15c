"""What all targets write alike, against Keras."""

import keras
import pytest

from keras_aqe import layers, quantizers
from keras_aqe.converters import convert, targets, verify
from keras_aqe.converters.targets.emitter import Emitter
from keras_aqe.converters.targets.target import Target
from tests.converters.networks import (
    TARGETS,
    images,
    randomise,
)
from tests.converters.test_convert_exactness import assert_same


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kernel_size, dilation", [(5, 1), ((3, 1), 2)])
def test_windows_that_meet_padding_on_both_sides(target, kernel_size, dilation):
    """Larq Compute Engine's own padding by zeros is wrong there."""
    x = inputs = keras.Input((3, 4, 2))
    x = layers.QuantConv2D(
        5,
        kernel_size,
        padding="same",
        dilation_rate=dilation,
        input_quantizer="binary",
        kernel_quantizer="binary",
    )(x)
    codes = layers.QuantActivation("binary")(x)
    model = randomise(keras.Model(inputs, [codes, x]))
    assert_same(model, target, images((3, 4, 2)))


class Shifted(quantizers.Quantizer):
    """Its last operation adds a constant, which a layer behind can take in."""

    bits = 4
    levels = tuple(range(-3, 5))
    unit = 1.0

    def hard(self, x):
        return keras.ops.clip(keras.ops.floor(x), -4.0, 3.0) + 1.0

    def codes(self, x):
        return self.hard(x)


@pytest.mark.slow
def test_the_emitter_alone_is_a_target(monkeypatch):
    """The codes of every quantizer are in its file, and are Keras's."""
    alone = Target(
        "alone",
        lambda graph, options: Emitter(graph).model(),
        lambda node, graph: "no operator of its own",
    )
    monkeypatch.setitem(targets.TARGETS, "alone", alone)
    x = inputs = keras.Input((6,))
    for quantizer in ("binary", "ternary", "po2_3", "fixed_8", Shifted()):
        x = layers.QuantDense(
            9, input_quantizer=quantizer, kernel_quantizer="ternary"
        )(x)
        x = keras.layers.BatchNormalization()(x)
    model = randomise(keras.Model(inputs, x))
    converted = convert(model, "alone")
    same = verify(model, converted, images((6,), examples=9))
    assert same.faultless and same.codes_equal
    assert len(same.code_agreement) == 5
