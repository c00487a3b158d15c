"""Nothing but a `ConversionError` leaves `convert`."""

import contextlib
import resource

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_aqe import layers
from keras_aqe.converters import ConversionError, Interpreter, convert
from tests.combinations import each_once
from tests.converters.networks import TARGETS, computed
from tests.randomised import randomise

K = keras.layers
NAMES = [
    *("input image", "größe", "_x", "x:0", "img[0]", "n3", "output_000"),
    *("self", "入力", "x" * 300),
]


def dense(**kwargs):
    return layers.QuantDense(
        3, input_quantizer="binary", kernel_quantizer="binary", **kwargs
    )


def assert_same(model, target, x):
    received = Interpreter(convert(model, target).flatbuffer).predict(x)
    for ours, theirs in zip(
        keras.tree.flatten(model(x, training=False)),
        keras.tree.flatten(received),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def signed(shape):
    return np.random.default_rng(0).normal(size=(4, *shape)).astype("float32")


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_inputs_may_have_any_name(target):
    inputs = {name: keras.Input((5,), name=name) for name in NAMES}
    outputs = {name: dense()(x) for name, x in inputs.items()}
    x = {name: signed((5,)) * (-1) ** i for i, name in enumerate(NAMES)}
    assert_same(keras.Model(inputs, outputs), target, x)


@pytest.mark.parametrize("name", ["input image", "_x", "n3"])
def test_an_only_input_may_have_any_name(name):
    inputs = keras.Input((5,), name=name)
    assert_same(keras.Model(inputs, dense()(inputs)), "tflite", signed((5,)))


@pytest.mark.parametrize("target", TARGETS)
def test_functions_may_run_eagerly(target):
    inputs = keras.Input((5,))
    tf.config.run_functions_eagerly(True)
    try:
        assert_same(keras.Model(inputs, dense()(inputs)), target, signed((5,)))
        assert tf.config.functions_run_eagerly()
    finally:
        tf.config.run_functions_eagerly(False)


RECURRENT = {
    "LSTM": lambda x, masked: K.LSTM(3)(x),
    "GRU": lambda x, masked: K.Bidirectional(K.GRU(3))(masked),
    "SimpleRNN": lambda x, masked: K.SimpleRNN(3, go_backwards=True)(x),
}


# Each layer and each target; all pairs take ten seconds.
@pytest.mark.slow
@pytest.mark.parametrize("name, target", each_once(list(RECURRENT), TARGETS))
def test_recurrent_layers(name, target):
    """On masked sequences too; quantizers keep the mask."""
    inputs = keras.Input((5, 4))
    codes = layers.QuantActivation("binary")(K.Masking(0.0)(inputs))
    outputs = [
        dense()(RECURRENT[name](inputs, codes)),
        dense()(K.GlobalAveragePooling1D()(codes)),
    ]
    x = signed((5, 4))
    x[:, 3:] = 0
    assert_same(keras.Model(inputs, outputs), target, x)


def stateful(inputs):
    return K.LSTM(3, stateful=True, name="odd")(inputs)


class Raising(K.Layer):
    def compute_output_shape(self, shape):
        return shape

    def call(self, x):
        if isinstance(x, tf.Tensor):
            raise RuntimeError("no such thing")
        return x


@pytest.mark.parametrize(
    "layer, match",
    [
        (stateful, "'odd' is stateful"),
        (
            lambda x: K.LSTM(3, return_state=True, name="odd")(x)[0],
            "'odd' returns several",
        ),
        (Raising(name="odd"), "'odd'.*no such thing"),
        (
            K.Lambda(lambda x: tf.math.igamma(x, x), name="odd"),
            "'odd' needs Igamma",
        ),
        # Keras itself refuses it in `predict`.
        (K.Reshape((20,), name="my layer"), "'my layer'.*scope name"),
    ],
)
def test_errors_name_the_layer(layer, match):
    inputs = keras.Input(batch_shape=(2, 5, 4))
    model = keras.Model(inputs, dense()(K.Flatten()(layer(inputs))))
    with pytest.raises(ConversionError, match=match):
        convert(model, "tflite")


def test_a_refused_name_leaves_keras_as_it_was():
    layer = K.Reshape((20,), name="my layer")
    inputs = keras.Input((5, 4))
    model = keras.Model(inputs, dense()(layer(inputs)))
    with pytest.raises(ConversionError, match="'my layer'.*scope name"):
        convert(model, "tflite")
    weight = keras.layers.Dense(1, name="alone")
    weight.build((None, 1))
    assert weight.kernel.path == "alone/kernel"


@pytest.mark.slow
def test_a_layer_whose_name_begins_with_an_underscore():
    inputs = keras.Input((5, 4))
    model = keras.Model(inputs, dense()(K.Flatten(name="_flat")(inputs)))
    x = np.ones((2, 5, 4), "float32")
    for target in ("packed", "tflite", "lce"):
        y = Interpreter(convert(model, target)).predict(x)
        np.testing.assert_array_equal(y, computed(model, x))


@pytest.mark.parametrize("layer", ["transposed", "dense"])
def test_layers_that_larq_compute_engine_takes_in_another_form(layer):
    """A bias of all zeros becomes one number, and one input a factor."""
    inputs = keras.Input((4, 1))
    outputs = layers.QuantDense(3, kernel_quantizer="binary")(inputs)
    if layer == "transposed":
        outputs = dense()(K.Conv1DTranspose(2, 3, strides=2)(inputs))
    assert_same(keras.Model(inputs, outputs), "lce", signed((4, 1)))


@pytest.mark.parametrize("target", TARGETS)
def test_a_limit_of_an_engine_is_no_damage(target):
    inputs = keras.Input((33000, 1))
    model = keras.Model(inputs, K.MaxPooling1D(33000, name="pool")(inputs))
    with pytest.raises(ConversionError, match="'pool'.*33000.*32768") as caught:
        convert(model, target)
    assert "damaged" not in str(caught.value)


def quantized_by_keras():
    model = keras.Sequential([keras.Input((5,)), K.Dense(3, name="odd")])
    model.quantize("int8")
    return model


REFUSED = {
    "recurrent, and the length": lambda: keras.Sequential(
        [keras.Input((None, 3)), K.Bidirectional(K.GRU(2), name="odd")]
    ),
    "was quantized to 'int8' by Keras": quantized_by_keras,
    "needs AssignVariableOp": lambda: keras.Sequential(
        [
            keras.Input((5,)),
            K.Lambda(lambda x: x + keras.random.normal((5,)), name="odd"),
        ]
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_says_why_a_plain_layer_is_refused(message):
    with pytest.raises(
        ConversionError, match=f"Layer 'odd'.*{message}"
    ) as info:
        convert(REFUSED[message](), "packed")
    assert info.value.layer == "odd"


@contextlib.contextmanager
def no_file_larger_than(size):
    """As on a disk that is full, the system refuses to write more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("target", TARGETS)
def test_converting_writes_no_files(target):
    inputs = keras.Input((5,))
    hidden = layers.QuantDense(300, kernel_quantizer="binary")(inputs)
    model = randomise(keras.Model(inputs, dense()(hidden)))
    with no_file_larger_than(0):
        assert convert(model, target, strict=False).bytes


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    inputs = keras.Input((5,))
    converted = convert(keras.Model(inputs, dense()(inputs)), "tflite")
    path = tmp_path / "model.tflite"
    path.write_bytes(b"before")
    with no_file_larger_than(100), pytest.raises(OSError) as info:
        converted.save(path)
    assert info.value.filename == str(path)
    assert path.read_bytes() == b"before"
    with pytest.raises(FileNotFoundError) as info:
        converted.save(tmp_path / "none" / "model.tflite")
    assert info.value.filename == str(tmp_path / "none" / "model.tflite")
    assert list(tmp_path.iterdir()) == [path]
