"""How inputs are sorted and outputs are grouped."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_aqe import layers
from keras_aqe.converters import (
    Interpreter,
    convert,
)
from keras_aqe_runtime.file import flatbuffer
from tests.combinations import each_once
from tests.converters.networks import TARGETS, computed
from tests.converters.two_inputs import (
    BINARY,
    FITTING,
    IMAGE,
    META,
    TAKEN,
    batches,
    two_inputs,
)


def assert_same(expected, received):
    """Compares structures (tuples are lists in a file) and arrays."""
    if isinstance(expected, dict):
        assert list(expected) == list(received)
        expected, received = list(expected.values()), list(received.values())
    if isinstance(expected, (list, tuple)):
        assert type(received) is list and len(expected) == len(received)
        for ours, theirs in zip(expected, received):
            assert_same(ours, theirs)
    else:
        assert expected.dtype == received.dtype
        np.testing.assert_array_equal(expected, received)


STRUCTURES = [
    ("list", "dictionary"),
    ("list", "one"),
    ("dictionary", "list"),
    ("dictionary", "nested"),
    ("nested", "list of one"),
]


# Each structure and each target: all pairs of them take ten seconds.
@pytest.mark.slow
@pytest.mark.parametrize("structures, target", each_once(STRUCTURES, TARGETS))
def test_takes_and_returns_what_keras_does(structures, target):
    taken, returned = structures
    model = two_inputs(taken, returned)
    interpreter = Interpreter(convert(model, target))
    # In any order, and twice.
    for examples in (3, 1, 5, 1, 3):
        x = TAKEN[taken](*batches(examples, seed=examples))
        expected = computed(model, x)
        assert_same(expected, interpreter.predict(x))
    nothing = interpreter.predict(TAKEN[taken](*batches(0)))
    assert_same(keras.tree.map_structure(lambda y: y[:0], expected), nothing)


def test_names_are_those_of_keras(converted):
    interpreter = Interpreter(converted)
    assert interpreter.input_names == ["image", "meta"]
    assert interpreter.output_names == ["y"]
    image, meta = batches(2)
    by_name = interpreter.predict({"meta": meta, "image": image})
    np.testing.assert_array_equal(by_name, interpreter.predict([image, meta]))


def test_a_single_input_goes_by_its_name_too(converted):
    inputs = keras.Input((4,), name="x")
    model = keras.Model(inputs, layers.QuantDense(3, **BINARY)(inputs))
    x = batches(3)[1]
    interpreter = Interpreter(convert(model, converted.report.target))
    expected = computed(model, x)
    for passed in (x, [x], (x,), {"x": x}, x.tolist(), x.astype("float64")):
        assert_same(expected, interpreter.predict(passed))
    assert_same(expected[:1], interpreter.predict(x[:1].tolist()))


@pytest.mark.parametrize(
    "x, message",
    [
        (IMAGE, "'image' (float32 of shape (None, 8))"),
        ([IMAGE], "Received: 1 inputs"),
        ([META, IMAGE], "'image' takes float32 of shape (None, 8)"),
        ({"image": IMAGE}, "names ['image', 'meta']"),
        ({"image": IMAGE, "mta": META}, "Received: the names ['image', 'mta']"),
        (FITTING | {"other": META}, "names ['image', 'meta']"),
        (
            FITTING | {"meta": META[0]},
            "'meta' takes float32 of shape (None, 4)",
        ),
        (FITTING | {"meta": META[:, :3]}, "Received: shape (2, 3)"),
        (FITTING | {"meta": META[:1]}, "{'image': 2, 'meta': 1}"),
        (FITTING | {"meta": META.astype(str)}, "'meta' takes float32"),
        (FITTING | {"meta": META.astype("complex64")}, "array of complex64"),
        (FITTING | {"meta": [[1, 2, 3, 4], [5]]}, "'meta' takes float32"),
        (FITTING | {"meta": None}, "'meta' takes float32"),
    ],
)
def test_says_which_input_does_not_fit(converted, x, message):
    interpreter = Interpreter(converted)
    with pytest.raises(ValueError, match=re.escape(message)):
        interpreter.predict(x)
    # It is none the worse for it.
    interpreter.predict(FITTING)


def test_integers_are_kept_or_refused():
    inputs = keras.Input((4,), dtype="int32", name="x")
    outputs = keras.layers.Rescaling(1.0)(inputs)
    interpreter = Interpreter(convert(keras.Model(inputs, outputs), "tflite"))
    x = np.array([[1, -2, 2**20, 0]])
    for passed in (x, x.astype("int8") * 0, x.astype("float32")):
        np.testing.assert_array_equal(passed, interpreter.predict(passed))
    for passed in (x + 0.5, x + 2**31, x * np.nan):
        with pytest.raises(ValueError, match="'x' takes int32.*cannot hold"):
            interpreter.predict(passed)


def test_files_from_elsewhere_go_by_their_signature(converted):
    model = flatbuffer.read(converted.flatbuffer)
    model.metadata = None
    interpreter = Interpreter(flatbuffer.write(model))
    assert [name[-5:] for name in interpreter.input_names] == ["image", "_meta"]
    x = dict(zip(interpreter.input_names, (IMAGE, META)))
    expected = Interpreter(converted).predict(FITTING)
    for passed in (x, [IMAGE, META]):
        np.testing.assert_array_equal(expected, interpreter.predict(passed))


def test_complex_numbers_of_files_from_elsewhere():
    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.complex64)])
    def absolute(z):
        return tf.abs(z)

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [absolute.get_concrete_function()]
    )
    interpreter = Interpreter(converter.convert())
    z = np.array([[3 + 4j, -5], [0, 8 - 6j]], "complex64")
    np.testing.assert_allclose(interpreter.predict(z), [[5, 5], [0, 10]])
    # Real numbers are complex ones, but not the other way round.
    np.testing.assert_allclose(interpreter.predict(z.real), abs(z.real))
    inputs = keras.Input((2,), name="x")
    outputs = keras.layers.Rescaling(2.0)(inputs)
    real = Interpreter(convert(keras.Model(inputs, outputs), "tflite"))
    with pytest.raises(ValueError, match="'x' takes float32.*complex64"):
        real.predict(z)
