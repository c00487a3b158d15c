"""Codes as packed files hold them, against docs/format.md in NumPy."""

import hypothesis.extra.numpy as hnp
import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_aqe import layers, quantizers
from keras_aqe.converters import convert
from keras_aqe.converters.targets.packed import packing
from keras_aqe_runtime.file import flatbuffer
from tests.runtime.packed_files import LEVELS, pack_activations, pack_weights


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_the_file_holds_the_codes(bits):
    quantizer = quantizers.of_width(bits)
    layer = layers.QuantConv2D(6, 3, kernel_quantizer=quantizer)
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, layers.QuantActivation("binary")(layer(inputs)))
    file = flatbuffer.read(convert(model).flatbuffer)
    operator = file.subgraphs[0].operators[0]
    tensor = file.subgraphs[0].tensors[operator.inputs[1]]
    codes = np.moveaxis(
        np.asarray(layer.kernel_quantizer.codes(layer.kernel)), -1, 0
    )
    np.testing.assert_array_equal(
        np.reshape(file.buffers[tensor.buffer].data, tensor.shape),
        pack_weights(codes, bits),
    )


@pytest.mark.parametrize("bits", LEVELS)
@given(shape=hnp.array_shapes(min_dims=2, max_dims=4, max_side=70))
def test_unpacks_activations(bits, shape):
    codes = np.random.default_rng(sum(shape)).choice(LEVELS[bits], shape)
    packed = pack_activations(codes, bits)
    np.testing.assert_array_equal(packing.unpack(packed, shape[-1]), codes)


@given(first=st.integers(-128, 127), count=st.integers(2, 256))
def test_thresholds_are_those_of_the_levels(first, count):
    """A run of 8-bit codes takes little more thresholds than it has."""
    levels = np.arange(first, min(first + count, 128))
    if len(levels) < 2:
        return
    thresholds = np.arange(len(levels) - 1)[:, None] * 3
    stored = packing.stored_codes(levels, 8)
    found = packing.whole_thresholds(thresholds, levels, 8)
    assert len(found) + 1 == len(stored) < 2 * len(levels)
    assert -128 <= stored[0] and stored[-1] <= 127
    for total in range(-1, 3 * len(levels)):
        code = stored[(total >= found).sum()]
        assert code == levels[(total >= thresholds).sum()]


def test_unpacks_what_is_no_word():
    floats = np.float32([[0.5, -3]])
    np.testing.assert_array_equal(packing.unpack(floats, 2), floats)
