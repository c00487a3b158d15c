"""What each backend gives is what NumPy computes."""

import importlib

import keras
import numpy as np
import pytest
from keras import ops

from keras_aqe import backend


def test_the_gradient_is_the_one_given():
    x = np.linspace(-2, 2, 9, dtype="float32")

    def apply(x):
        return backend.with_gradient(
            lambda x, factor: ops.sign(x) * factor,
            lambda x, factor, upstream: x * factor * upstream,
            x,
            ops.convert_to_tensor(3.0),
        )

    np.testing.assert_array_equal(
        ops.convert_to_numpy(apply(ops.convert_to_tensor(x))), 3 * np.sign(x)
    )
    np.testing.assert_array_equal(
        backend.gradient(lambda x: 2 * apply(x), x), 2 * 3 * x
    )


@pytest.mark.parametrize("seed", range(5))
def test_mean_magnitude_is_that_of_float64(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.03, (3, 3, 8 * seed + 1, 16)).astype("float32")
    mean = ops.convert_to_numpy(
        backend.mean_magnitude(ops.convert_to_tensor(x))
    )
    assert mean.dtype == "float32"
    assert mean == np.abs(x.astype("float64")).mean().astype("float32")


def test_round_to_half_is_a_cast_to_float16():
    rng = np.random.default_rng(0)
    halves = np.arange(2**16, dtype="uint16").view("float16")
    halves = halves[np.isfinite(halves)].astype("float32")
    middles = (np.sort(halves)[:-1] + np.sort(halves)[1:]) / 2
    others = rng.normal(size=1000) * 2.0 ** rng.integers(-30, 15, 1000)
    x = np.concatenate([halves, middles, others]).astype("float32")
    rounded = ops.convert_to_numpy(
        backend.round_to_half(ops.convert_to_tensor(x))
    )
    np.testing.assert_array_equal(rounded, x.astype("float16"))


def test_to_int64_keeps_large_numbers():
    x = np.array([-(2.0**40), 3.0], "float32")
    integers = ops.convert_to_numpy(backend.to_int64(ops.convert_to_tensor(x)))
    assert integers.dtype == "int64"
    np.testing.assert_array_equal(integers, x)


@pytest.mark.parametrize(
    "function, returns",
    [
        (lambda x: x, True),
        (lambda x: ops.cast(x, "float32"), True),
        (lambda x: ops.stop_gradient(x), True),
        (lambda x: ops.stop_gradient(ops.cast(x, "float32")), True),
        (lambda x: x + 1, False),
        (lambda x: ops.stop_gradient(x + 1), False),
        (lambda x: ops.ones(()), False),
        (lambda x: ops.transpose(x, (0, 2, 1)), False),
        (lambda x: ops.zeros_like(x), False),
        (lambda x: [x, x], False),
    ],
)
def test_returns_argument(function, returns):
    spec = keras.KerasTensor((None, 4, 4))
    assert backend.returns_argument(function, spec) == returns


def test_other_backends_are_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    with pytest.raises(ImportError, match="'torch'. The backend is 'numpy'"):
        importlib.reload(backend)
