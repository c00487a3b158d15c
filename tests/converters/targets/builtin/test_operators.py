"""Operators on int8 in the place of the placeholders that were traced."""

import numpy as np
import tensorflow as tf

from keras_aqe.converters.file.builtin_ops import Constant
from keras_aqe.converters.file.custom_ops import to_model
from keras_aqe.converters.targets.builtin import int8
from keras_aqe.converters.targets.builtin.operators import Operators
from keras_aqe_runtime.file import flatbuffer
from keras_aqe_runtime.file.flatbuffer import schema

SIGNS = np.array([1, -1, 1])


def test_placeholders_become_operators_with_constants_and_scales():
    operators = Operators()

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32)])
    def infer(x):
        shape = (None, 3)
        codes = operators.write(int8.quantize(0.25), [x], shape)
        signs = Constant(SIGNS.astype("int8"), 1.0)
        codes = operators.write(int8.multiply(signs, 0.25), [codes], shape)
        return operators.write(int8.dequantize(), [codes], shape)

    model, _ = to_model(infer)
    operators.insert(model)
    graph = model.subgraphs[0]
    names = flatbuffer.operator_names(model)
    assert names == ["QUANTIZE", "MUL", "DEQUANTIZE"]
    # Interpreters refuse files that name a custom operator at all.
    assert not any(code.customCode for code in model.operatorCodes)
    quantize, multiply, dequantize = graph.operators
    for operator in (quantize, multiply):
        result = graph.tensors[operator.outputs[0]]
        assert result.type == schema.TensorType.INT8
        np.testing.assert_array_equal(result.quantization.scale, [0.25])
    assert graph.tensors[dequantize.outputs[0]].type == (
        schema.TensorType.FLOAT32
    )
    assert multiply.inputs[0] == quantize.outputs[0]
    constant = graph.tensors[multiply.inputs[1]]
    data = np.asarray(model.buffers[constant.buffer].data)
    np.testing.assert_array_equal(data.view("int8"), SIGNS)
