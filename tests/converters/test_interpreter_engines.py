"""Files in every interpreter that they are meant for."""

import functools
import importlib.util
import itertools

import keras
import numpy as np
import pytest

from keras_aqe import layers, models, runtime
from keras_aqe.converters import convert
from tests.combinations import each_once
from tests.randomised import images, randomise
from tests.runtime.engines import interpreter, run, run_in_child


def run_in_tflite_runtime(file, x, delegate):
    """In a process of its own: it and TensorFlow bear no other in theirs."""
    if importlib.util.find_spec("tflite_runtime") is None:
        pytest.skip("tflite-runtime ends with Python 3.11")
    library = runtime.library_path() if delegate else ""
    return run_in_child(file, x, "tflite_runtime", library)


X = images((16, 16, 3))


@functools.cache
def network(bits):
    model = models.MINWNet(
        *("D", bits, bits, X.shape[1:]), filters=6, dense_units=20
    )
    return randomise(model, seed=bits)


@functools.cache
def converted(bits, target, **options):
    """Made once for all engines."""
    return convert(network(bits), target, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    "bits, target, engine",
    [
        # Engines differ in how they load a file, not in its widths.
        pytest.param(*case, marks=pytest.mark.long if case[0] < 3 else ())
        for case in itertools.product(
            [1, 2, 3],
            ["packed", "tflite"],
            ["litert", "tf", "tflite_runtime"],
        )
    ],
)
def test_equals_keras(bits, target, engine):
    model, x = network(bits), X
    file = converted(bits, target).flatbuffer
    delegate = target == "packed"
    if engine == "tflite_runtime":
        received = run_in_tflite_runtime(file, x, delegate)
    else:
        received = run(file, x, engine=engine, delegate=delegate)
    expected = model.predict(x, verbose=0)
    limit = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(expected, received, rtol=0, atol=limit)


@pytest.mark.xnnpack
@pytest.mark.parametrize("engine", ["litert", "tf"])
def test_xnnpack_takes_the_rest_of_a_packed_file(engine):
    x = inputs = keras.Input((8, 8, 6))
    y = layers.QuantActivation("binary")(x)
    y = layers.QuantConv2D(6, 3, padding="same", kernel_quantizer="binary")(y)
    x = keras.layers.Softmax()(keras.layers.Multiply()([x, y]))
    model = keras.Model(inputs, x)
    file = convert(model).flatbuffer
    packed = interpreter(file, engine)
    packed.allocate_tensors()
    names = [detail["op_name"] for detail in packed._get_ops_details()]
    # What delegates took stays in the list; ours are two, XNNPACK's is one.
    assert names[:4] == ["AqeQuantize", "AqeConv2D", "MUL", "SOFTMAX"]
    assert names[4:] == ["DELEGATE"] * 3
    x = images((8, 8, 6))
    np.testing.assert_allclose(
        run(file, x, engine=engine), model.predict(x, verbose=0), atol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "widths, engine", each_once([(1, 2), (2, 4), (3, 8)], ["litert", "tf"])
)
def test_compact_files_equal_keras(widths, engine):
    bits, kernel_bits = widths
    model, x = network(bits), X
    compact = converted(bits, "tflite", compact=True)
    for row in compact.report[6:8]:
        assert row.op == "FULLY_CONNECTED"
        assert row.weight_bytes == row.macs * kernel_bits // 8
    received = run(compact.flatbuffer, x, engine=engine, delegate=False)
    np.testing.assert_array_equal(received, model.predict(x, verbose=0))
