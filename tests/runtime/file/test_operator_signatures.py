"""The table of builtin operators."""

import keras
import pytest
from ai_edge_litert import schema_py_generated as schema

from keras_aqe.converters import convert
from keras_aqe_runtime.file import operator_signatures


@pytest.mark.slow
def test_the_table_knows_what_layers_come_out_as():
    """More operators than the small files have."""
    ops, some = keras.ops, keras.layers
    x = keras.Input((6, 6, 4))
    sequence = ops.reshape(x, (-1, 36, 4))
    outputs = [
        *(f(x) for f in (ops.ceil, ops.cos, ops.exp, ops.log, ops.rsqrt)),
        *(f(x) for f in (ops.sign, ops.relu6, ops.gelu, ops.hard_swish)),
        *(f(x, -1) for f in (ops.any, ops.all, ops.min, ops.prod, ops.var)),
        *(ops.maximum(x, 0.5), ops.floor_divide(x, 2.0), ops.mod(x, 2.0)),
        *(ops.power(x, 2.0), ops.logical_or(x > 0, x < 1), ops.flip(x, 1)),
        *(ops.where(x > 0, x, -x), ops.tile(x, (1, 2, 1, 1)), ops.tril(x)),
        ops.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)), mode="reflect"),
        *(ops.take(x, [0, 2], 1), ops.stack([x, x], 1), x[:, ::2, 1:-1]),
        ops.one_hot(ops.cast(x[..., 0], "int32"), 3),
        *(ops.matmul(sequence, sequence[:, :4]), ops.cumsum(x, 1)),
        some.Conv2D(3, 3, dilation_rate=2)(x),
        some.Conv3D(2, 2)(ops.expand_dims(x, -1)),
        some.Conv3DTranspose(2, 2)(ops.expand_dims(x, -1)),
        some.Resizing(4, 4, interpolation="nearest")(x),
        *(some.Discretization([0.0, 0.5])(x), some.GroupNormalization(2)(x)),
        some.LSTM(2, unroll=True)(sequence[:, :3]),
    ]
    # It runs what it wrote.
    convert(keras.Model(x, outputs), "tflite", strict=False)


def test_every_line_of_the_table_is_of_an_operator():
    names = {
        name
        for name, code in vars(schema.BuiltinOperator).items()
        if isinstance(code, int)
    }
    known = {name for name in names if operator_signatures.find(name)}
    assert len(known) > 100
    for name in known:
        signature = operator_signatures.find(name)
        assert signature.outputs
        for argument in (*signature.inputs, *signature.outputs):
            assert argument.least <= argument.most
            if argument.like is not None:
                assert argument.like < len(signature.inputs)
