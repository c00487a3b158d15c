"""Kernels as packed files hold them, against docs/format.md in NumPy."""

import keras
import numpy as np
import pytest

from keras_aqe import layers, quantizers
from keras_aqe.converters import convert
from keras_aqe.converters.file import flatbuffer
from tests.runtime.packed_files import pack_weights


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
