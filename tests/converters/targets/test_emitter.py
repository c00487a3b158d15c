"""What all targets write alike, against Keras."""

import keras
import numpy as np
import pytest

from keras_aqe import layers, quantizers
from keras_aqe.converters import Interpreter, convert, targets, verify
from keras_aqe.converters.targets.emitter import Emitter
from keras_aqe.converters.targets.target import Target
from keras_aqe_runtime.file import flatbuffer
from tests.converters.networks import TARGETS
from tests.converters.test_convert_exactness import assert_same
from tests.randomised import images, randomise


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


def residual(batch):
    """Image and inner layers, pools, a shortcut and dense layers."""
    inputs = keras.Input(batch_shape=(batch, 8, 8, 3))
    x = layers.QuantConv2D(6, 3, padding="same", kernel_quantizer="binary")(
        inputs
    )
    x = shortcut = keras.layers.MaxPooling2D()(x)
    for bits in ("ternary", "po2_3"):
        x = keras.layers.BatchNormalization()(x)
        x = layers.QuantConv2D(
            6, 3, padding="same", input_quantizer=bits, kernel_quantizer=bits
        )(x)
    x = keras.layers.Add()([x, shortcut])
    x = layers.QuantActivation("ternary")(x)
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(2)(x))
    x = layers.QuantDense(
        5, input_quantizer="po2_3", kernel_quantizer="ternary"
    )(x)
    return randomise(keras.Model(inputs, x))


@pytest.mark.slow
@pytest.mark.parametrize(
    "target, batch", [("packed", 3), ("tflite", 1), ("tflite", 3), ("lce", 3)]
)
def test_a_batch_that_the_model_fixes_is_that_of_the_file(target, batch):
    """In all tensors: LiteRT.js takes no size that is left open."""
    model, free = residual(batch), residual(None)
    free.set_weights(model.get_weights())
    converted = convert(model, target)
    (graph,) = flatbuffer.read(converted.flatbuffer).subgraphs
    expected = 1 if target == "lce" else batch
    for index in (*graph.inputs, *graph.outputs):
        assert graph.tensors[index].shape[0] == expected
    for tensor in graph.tensors:
        assert tensor.shapeSignature is None, tensor.name
    x = images((8, 8, 3), examples=7)
    y = Interpreter(converted).predict(x)
    np.testing.assert_array_equal(
        y, Interpreter(convert(free, target)).predict(x)
    )
    assert np.ptp(y) > 0


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
