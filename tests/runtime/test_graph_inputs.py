"""Packed files at other input sizes than those they were made for."""

import functools

import keras
import numpy as np
import pytest

from keras_aqe import converters, layers
from tests.runtime.engines import interpreter, run
from tests.runtime.networks import small_network

K = keras.layers
BINARY = {"input_quantizer": "binary", "kernel_quantizer": "binary"}

# What follows two convolutions, each with sizes or row counts of its own in
# the file: windows, thresholds, weights, reshapes.
HEADS = {
    "average of codes": lambda x: layers.QuantDense(4, **BINARY)(
        K.GlobalAveragePooling2D()(layers.QuantActivation("binary")(x))
    ),
    "greatest of codes": lambda x: layers.QuantDense(4, **BINARY)(
        K.GlobalMaxPooling2D()(layers.QuantActivation("ternary")(x))
    ),
    "average of floats": lambda x: K.Dense(4)(K.GlobalAveragePooling2D()(x)),
    "quantized dense": lambda x: layers.QuantDense(4, **BINARY)(K.Flatten()(x)),
    "float dense": lambda x: K.Dense(4)(K.Flatten()(x)),
    "rows of a sequence": lambda x: layers.QuantDense(4, **BINARY)(
        K.Reshape((-1, 8))(x)
    ),
    "sequence": lambda x: layers.QuantConv1D(4, 3, **BINARY)(
        K.Reshape((16, 32))(x)
    ),
    "transposed": lambda x: layers.QuantConv2DTranspose(
        4, 3, strides=2, padding="same", **BINARY
    )(x),
    "strided": lambda x: layers.QuantConv2D(
        4, 3, strides=2, padding="same", **BINARY
    )(x),
    "upsampled": lambda x: K.UpSampling2D()(x),
    # A reshape stands between the input and the first quantized layer.
    "flat input": None,
}


@functools.cache
def converted(head):
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    if head == "flat input":
        x = layers.QuantDense(4, **BINARY)(K.Flatten()(image))
    else:
        x = layers.QuantConv2D(8, 3, padding="same", kernel_quantizer="binary")(
            image
        )
        x = HEADS[head](layers.QuantConv2D(8, 3, padding="same", **BINARY)(x))
    model = keras.Model(image, x)
    return model, converters.convert(model, strict=False).flatbuffer


def resized(engine, index, shape):
    engine.resize_tensor_input(index, shape)
    engine.allocate_tensors()
    return engine


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_other_sizes_are_refused(head):
    _, file = converted(head)
    for shape in [
        *((1, 16, 16, 3), (1, 9, 8, 3), (1, 8, 7, 3), (1, 4, 4, 3)),
        *((4, 4, 4, 3), (1, 16, 4, 3), (1, 8, 8, 6), (1, 64, 3), (1, 192)),
    ]:
        with pytest.raises(RuntimeError, match="was made for .-1, 8, 8, 3"):
            resized(interpreter(file), 0, shape)


@pytest.mark.parametrize("head", HEADS)
def test_batches_between_invokes(head):
    model, file = converted(head)
    engine = interpreter(file)
    source = engine.get_input_details()[0]["index"]
    target = engine.get_output_details()[0]["index"]
    for batch in (3, 1, 7, 7):
        x = np.random.default_rng(batch).integers(-8, 9, (batch, 8, 8, 3))
        x = (x / 8).astype("float32")
        resized(engine, source, x.shape)
        engine.set_tensor(source, x)
        engine.invoke()
        expected = model(x, training=False)
        np.testing.assert_allclose(
            engine.get_tensor(target), expected, rtol=1e-5, atol=1e-5
        )
        # A size that is refused does not stick.
        with pytest.raises(RuntimeError, match="was made for"):
            resized(engine, source, (batch, 16, 8, 3))


@pytest.mark.parametrize("batch", (0, 2**23, 2**27, 2**31 - 1))
def test_batches_that_cannot_be(batch):
    """Beyond 2 GiB, or no example at all."""
    _, file = converted("average of codes")
    with pytest.raises(RuntimeError, match="is empty|larger than 2 GiB"):
        resized(interpreter(file), 0, (batch, 8, 8, 3))


def test_every_input_of_several():
    keras.utils.set_random_seed(0)
    inputs = [keras.Input((6,), name="a"), keras.Input((3, 2), name="b")]
    flat = K.Concatenate()([inputs[0], K.Flatten()(inputs[1])])
    model = keras.Model(inputs, layers.QuantDense(5, **BINARY)(flat))
    file = converters.convert(model).flatbuffer
    x = np.random.default_rng(0).normal(size=(2, 6)).astype("float32")
    details = interpreter(file).get_input_details()
    values = [x.reshape(2, *detail["shape"][1:]) for detail in details]
    np.testing.assert_allclose(
        run(file, *values), model([x, x.reshape(2, 3, 2)]), rtol=1e-6
    )
    # As many more rows of the one as of the other.
    engine = interpreter(file)
    shapes = {2: (4, 6), 3: (2, 6, 2)}
    for detail in details:
        shape = shapes[len(detail["shape"])]
        engine.resize_tensor_input(detail["index"], shape)
    with pytest.raises(RuntimeError, match="_b.*was resized|RESHAPE"):
        engine.allocate_tensors()
        # Keras's Flatten takes the batch from the tensor, so it and what
        # follows it are prepared only then.
        engine.invoke()


def test_files_without_a_signature():
    """Of a file that leaves no size open, the batch alone is free."""
    file, source, target = small_network(2, 2)
    file = file.write([source], [target])
    rng = np.random.default_rng(0)
    assert len(run(file, rng.normal(size=(3, 14, 14, 3)).astype("f4"))) == 3
    with pytest.raises(RuntimeError, match="was made for .-1, 14, 14, 3"):
        resized(interpreter(file), source, (1, 28, 14, 3))


def test_sizes_that_a_file_leaves_open():
    """-1 in the shape signature: the operators' own definition counts."""
    file, source, target = small_network(2, 2)
    first = file.operators[0]
    file.operators = [first]
    target = first.outputs[0]
    file.tensors[source].shapeSignature = np.array([-1, -1, 14, 3], "int32")
    file = file.write([source], [target])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 20, 14, 3)).astype("float32")
    tall = run(file, x)
    np.testing.assert_array_equal(tall[:, :12], run(file, x[:, :14]))
    with pytest.raises(RuntimeError, match="was made for .-1, -1, 14, 3"):
        resized(interpreter(file), source, (1, 20, 15, 3))
