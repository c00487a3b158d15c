"""Types that no interpreter computes in are refused."""

import keras
import pytest

from keras_aqe import layers
from keras_aqe.converters import ConversionError, convert
from tests.converters.networks import TARGETS

K = keras.layers


def dense(**kwargs):
    return layers.QuantDense(2, kernel_quantizer="binary", **kwargs)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["uint64", "bfloat16", "string"])
def test_refuses_types_that_no_file_takes(dtype, target):
    inputs = keras.Input((3,), dtype=dtype, name="numbers")
    x = inputs
    if dtype == "string":
        x = K.Hashing(5)(x)
    with pytest.raises(ConversionError, match=f"'numbers'.*{dtype}"):
        convert(keras.Model(inputs, dense()(x)), target)


def add(x):
    return dense()(K.Rescaling(1.0)(K.Add()([x, x])))


def quantize(quantizer):
    return lambda x: dense(input_quantizer=quantizer)(x)


# In these types interpreters hold codes, or do not compute at all.
UNCOMPUTABLE = [
    ("int8", add),
    ("uint8", lambda x: dense()(x * 2)),
    ("int16", add),
    ("uint16", lambda x: dense()(keras.ops.maximum(x, x[:, ::-1]))),
    ("float16", lambda x: dense()(keras.ops.exp(x))),
    ("float64", lambda x: dense()(keras.ops.exp(x))),
    ("uint8", quantize("binary")),
    ("bool", quantize("fixed_8")),
]


@pytest.mark.parametrize("dtype, rest", UNCOMPUTABLE)
def test_refuses_to_compute_where_interpreters_do_not(dtype, rest):
    inputs = keras.Input((6,), dtype=dtype, name="numbers")
    model = keras.Model(inputs, rest(inputs))
    with pytest.raises(ConversionError, match=f"numbers|{dtype}"):
        convert(model, "tflite")


@pytest.mark.parametrize("in_front", [True, False])
@pytest.mark.parametrize("behind", [True, False])
def test_names_the_layer_whose_operator_is_missing(in_front, behind):
    """Whatever stands around it: outputs of a file have other names."""
    x = inputs = keras.Input((3,))
    x = K.Dense(2)(x) if in_front else x
    x = missing = keras.ops.erf(x)
    x = K.Dense(2)(x) if behind else x
    name = missing._keras_history.operation.name
    with pytest.raises(ConversionError, match=f"Layer '{name}' needs Erf"):
        convert(keras.Model(inputs, x))


def test_names_a_layer_that_looks_values_up():
    inputs = keras.Input((3,), dtype="int64")
    lookup = K.IntegerLookup(vocabulary=[1, 2], name="lookup")
    with pytest.raises(ConversionError, match="Layer 'lookup' looks values up"):
        convert(keras.Model(inputs, lookup(inputs)))
