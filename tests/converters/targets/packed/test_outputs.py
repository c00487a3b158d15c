"""Output stages, computed by NumPy, against Keras and against quantizers."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_aqe import quantizers
from keras_aqe.converters.targets.packed import outputs


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("normalised", [False, True])
def test_scale_and_bias_are_those_of_keras(normalised, biased):
    random = np.random.default_rng(0)
    sums = random.integers(-50, 50, (64, 5)).astype("float32")
    unit, factor = np.float32(0.25), np.float32(8)
    bias = random.normal(size=5).astype("float32") if biased else None
    expected = sums * unit + (bias if biased else 0)
    norm = None
    if normalised:
        norm = keras.layers.BatchNormalization()
        norm.build((None, 5))
        norm.set_weights(list(random.uniform(0.5, 2, (4, 5))))
        expected = norm(expected).numpy()

    scale, shift, offset = outputs.scaling(unit, bias, norm, factor)

    found = (sums + (0 if offset is None else offset)) * scale + shift
    np.testing.assert_allclose(found, factor * expected, 1e-5, 1e-4)


@given(
    scale=st.sampled_from([2.0**-3, 1.0, 4.0]),
    codes=st.lists(st.integers(-600, 600), min_size=1),
    steps=st.integers(-3, 3),
    more=st.lists(st.floats(width=32, allow_nan=False)),
)
def test_codes_without_a_sign_are_shifted_exactly(scale, codes, steps, more):
    """The output stage of docs/format.md beside halves, and on any floats."""
    quantizer = quantizers.FixedPoint(8, signed=False, scale=scale)
    x = np.float32([(code + 0.5) * quantizer.unit for code in codes])
    for _ in range(abs(steps)):
        x = np.nextafter(x, np.float32(np.sign(steps) * np.inf))
    x = np.concatenate([x, np.float32(more)])
    scales, biases, offsets = outputs.shifted(1, quantizer.unit, 128).constants
    with np.errstate(over="ignore"):
        found = ((x + offsets).astype("f") * scales).astype("f") + biases
    assert found.dtype == np.float32
    found = np.rint(found).clip(-128, 127)
    np.testing.assert_array_equal(found + 128, quantizer.codes(x))
