"""`target="packed"`: what the file holds, and that it equals Keras."""

import concurrent.futures

import numpy as np
import pytest

from keras_aqe import models
from keras_aqe.converters import ConversionError, Interpreter, convert, verify
from tests.converters.targets.packed.networks import (
    SHAPE,
    small,
)
from tests.randomised import images
from tests.runtime.engines import run

MIB = 2**20
# Each width of inputs and of weights, and all pairs of them, which take a
# second each.
WIDTHS = [(1, 1), (2, 4), (3, 3), (4, 2), (8, 1), (16, 2), (32, 3)]
PAIRS = [
    *((m, n) for m in (1, 2, 3, 4) for n in (1, 2, 3, 4)),
    *((8, 1), (8, 2), (8, 3), (16, 1), (16, 2), (16, 3), (32, 1), (32, 3)),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "input_bits, weight_bits",
    [
        *WIDTHS,
        *(
            pytest.param(*pair, marks=pytest.mark.long)
            for pair in PAIRS
            if pair not in WIDTHS
        ),
    ],
)
def test_minw_net(input_bits, weight_bits):
    model, converted = small(input_bits, weight_bits)
    verification = verify(model, converted, images(SHAPE))
    assert verification.labels_equal
    # Sums of floats round differently in another order, and a half-precision
    # code on the edge may then differ.
    limit = 1e-2 if input_bits == 16 else 1e-4
    assert verification.max_relative_error < limit


@pytest.mark.slow
@pytest.mark.parametrize(
    "bits, limit",
    [
        (3, 3.85),
        # The same ten million weights, which are written in the same way.
        pytest.param(1, 1.30, marks=pytest.mark.long),
        pytest.param(2, 2.6, marks=pytest.mark.long),
    ],
)
def test_model_a_takes_its_bits(bits, limit):
    model = models.MINWNet("A", bits, bits)
    converted = convert(model)
    assert len(converted.flatbuffer) <= limit * MIB
    for row, layer in zip(converted.report, model.layers[1:2]):
        assert row.weight_bytes == bits * np.size(layer.kernel) // 8


@pytest.mark.slow
@pytest.mark.parametrize("bits", [1, 3])
def test_tensorflow_runs_the_file_too(bits):
    file, x = small(bits, bits)[1].flatbuffer, images(SHAPE)
    np.testing.assert_array_equal(
        run(file, x, engine="tf"), Interpreter(file).predict(x)
    )


@pytest.mark.slow
def test_two_threads_change_nothing():
    file = convert(models.MINWNet("D", filters=64)).flatbuffer
    x = images((32, 32, 3))
    np.testing.assert_array_equal(
        Interpreter(file, num_threads=2).predict(x),
        Interpreter(file).predict(x),
    )


def run_in_four_python_threads(invokes):
    file, x = small(2, 1)[1].flatbuffer, images(SHAPE, examples=2)
    expected = Interpreter(file).predict(x)

    def predict(thread):
        interpreter = Interpreter(file)
        for _ in range(invokes // 4):
            if not np.array_equal(interpreter.predict(x), expected):
                return False
        return True

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(pool.map(predict, range(4)))


@pytest.mark.slow
def test_interpreters_in_four_python_threads():
    run_in_four_python_threads(invokes=400)


@pytest.mark.long
def test_many_invokes_in_four_python_threads():
    run_in_four_python_threads(invokes=10_000)


@pytest.mark.slow
def test_says_when_the_runtime_is_missing(monkeypatch):
    _, converted = small()

    def missing():
        raise RuntimeError("Install a C++17 compiler")

    monkeypatch.setattr("keras_aqe_runtime.library.library_path", missing)
    with pytest.raises(ConversionError, match=r"packed.*C\+\+17 compiler"):
        Interpreter(converted.flatbuffer)
