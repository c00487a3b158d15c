"""docs/format.md says all that a reader of packed files needs: one written from
it in NumPy gives Keras's codes, and what the runtime gives."""

import keras
import numpy as np
import pytest

from keras_aqe import layers, models
from keras_aqe.converters import convert
from tests.combinations import each_once
from tests.converters.networks import computed
from tests.randomised import images, randomise
from tests.runtime import fuzz
from tests.runtime.engines import run
from tests.runtime.format_reader import Reader
from tests.runtime.packed_files import pack_activations

# The reader is slow: all pairs take a minute.
WIDTHS = each_once([1, 2, 3, 4], [1, 2, 3, 4])
ZOO = list(fuzz.zoo())


def codes_of_keras(model, x):
    """What each `QuantActivation` of a network gives."""
    activations = [
        layer
        for layer in model.layers
        if isinstance(layer, layers.QuantActivation)
    ]
    values = computed(
        keras.Model(model.inputs, [layer.input for layer in activations]), x
    )
    return [
        np.asarray(layer.quantizer.codes(value))
        for layer, value in zip(activations, values)
    ]


def assert_reads(model, x):
    """Whether the reader finds Keras's codes and logits in a file."""
    *hidden, (_, logits) = Reader(convert(model).flatbuffer).run(x)
    for (_, codes), theirs in zip(
        hidden, codes_of_keras(model, x), strict=True
    ):
        np.testing.assert_array_equal(
            codes.reshape(len(x), -1), theirs.reshape(len(x), -1)
        )
    expected = computed(model, x)
    limit = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(logits, expected, atol=limit)
    return len(hidden)


@pytest.mark.slow
@pytest.mark.parametrize("input_bits, weight_bits", WIDTHS)
def test_reads_the_codes_of_keras(input_bits, weight_bits):
    widths = input_bits, weight_bits
    pad_value = float(input_bits % 2)
    model = models.MINWNet(
        *("D", *widths, (10, 10, 3)),
        filters=5,
        dense_units=70,
        pad_value=pad_value,
    )
    randomise(model)
    assert assert_reads(model, images((10, 10, 3), examples=2)) == 8


def test_reads_unsigned_codes_of_keras():
    """Of format 2, where they are fewer than 8 bits have."""
    x = inputs = keras.Input((6, 6, 3))
    for bits in (2, 3, 1, 4):
        layer = layers.QuantConv2D(
            5, 3, padding="same", kernel_quantizer="ternary", use_bias=False
        )
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(layer(x)))
        x = layers.QuantActivation(f"unsigned_{bits}")(x)
    x = keras.layers.Flatten()(x)
    x = layers.QuantDense(3, kernel_quantizer="binary", use_bias=False)(x)
    model = randomise(keras.Model(inputs, x))
    assert assert_reads(model, images((6, 6, 3), examples=2)) == 4


@pytest.mark.parametrize("number", range(len(ZOO)))
def test_reads_every_operator_as_the_runtime_does(number):
    network, source, targets = ZOO[number]
    targets = np.ravel(targets)
    file = network.write([source], targets)
    shape = network.tensors[source].shape
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    ours = run(file, x)
    theirs = [output for _, output in Reader(file).run(x)]
    written = [i for each in network.operators for i in each.outputs]
    for target, output in zip(
        targets, ours if isinstance(ours, list) else [ours]
    ):
        expected = theirs[written.index(target)]
        if output.dtype == np.int64:  # words, not the reader's codes
            groups = -(-expected.shape[-1] // 64)
            bits = output.shape[-1] // groups
            expected = pack_activations(expected, bits)
        np.testing.assert_array_equal(expected, output)
