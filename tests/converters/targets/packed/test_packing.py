"""Codes as packed files hold them, against docs/format.md in NumPy."""

import hypothesis.extra.numpy as hnp
import keras
import numpy as np
import pytest
from hypothesis import given

from keras_aqe import layers, quantizers
from keras_aqe.converters import convert
from keras_aqe.converters.file import flatbuffer
from keras_aqe.converters.targets.packed import packing
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


def test_unpacks_what_is_no_word():
    floats = np.float32([[0.5, -3]])
    np.testing.assert_array_equal(packing.unpack(floats, 2), floats)
