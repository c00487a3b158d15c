"""Builtin operators on int8, against Keras, for all widths of Table I."""

import keras
import numpy as np
import pytest

from keras_aqe import layers, models
from keras_aqe.converters import convert, verify
from keras_aqe_runtime.file import flatbuffer
from keras_aqe_runtime.file.flatbuffer import schema
from tests.converters.networks import TABLE_1
from tests.randomised import images, randomise

FEW = [(1, 1), (2, 16), (3, 3), (16, 2), (32, 32)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "input_bits, weight_bits",
    [
        pytest.param(
            *widths,
            # The others take ten seconds.
            marks=() if widths in FEW else pytest.mark.long,
        )
        for widths in TABLE_1
    ],
)
def test_minw_net(input_bits, weight_bits):
    model = models.MINWNet(
        "D", input_bits, weight_bits, filters=6, dense_units=20
    )
    randomise(model, seed=input_bits)
    x = images((32, 32, 3))
    verification = verify(model, convert(model, "tflite"), x)
    assert verification.labels_equal
    # Sums of half-precision values round differently in another order, and
    # a code on the edge may then differ.
    limit = 1e-2 if input_bits == 16 else 1e-4
    assert verification.max_relative_error < limit


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [36_000, 67_000])
def test_largest_sums_stay_within_int32(inputs):
    x = features = keras.Input((inputs,))
    x = layers.QuantActivation("fixed_8")(x)
    dense = layers.QuantDense(2, use_bias=False, kernel_quantizer="fixed_8")
    x = layers.QuantActivation("fixed_4")(dense(x))
    model = keras.Model(features, layers.QuantDense(1)(x))
    dense.kernel.assign(np.full((inputs, 2), [0.99, -0.99]))
    rows = [np.ones(inputs), -np.ones(inputs), np.eye(1, inputs)[0]]
    x = np.array(rows, "float32")
    file = convert(model, "tflite", strict=False)
    verification = verify(model, file, x)
    assert verification.codes_equal and verification.labels_equal
    parsed = flatbuffer.read(file.flatbuffer)
    names = flatbuffer.operator_names(parsed)
    tensors = parsed.subgraphs[0].tensors
    for operator, name in zip(parsed.subgraphs[0].operators, names):
        if name != "FULLY_CONNECTED":
            continue
        source, kernel, bias = (tensors[i] for i in operator.inputs)
        if bias.type != schema.TensorType.INT32:
            continue
        numbers = [
            parsed.buffers[tensor.buffer].data.view(dtype).astype("float64")
            for tensor, dtype in ((kernel, "int8"), (bias, "int32"))
        ]
        result = tensors[operator.outputs[0]].quantization.scale[0]
        ratios = kernel.quantization.scale * (
            source.quantization.scale[0] / result
        )
        _, shifts = np.frexp(ratios)
        sums = np.abs(numbers[0]).reshape(len(ratios), -1).sum(1) * 127
        largest = (sums + np.abs(numbers[1])) * 2.0 ** np.maximum(shifts, 0)
        assert largest.max() < 2**31
