import keras
import numpy as np
import pytest

from keras_aqe import backend, estimators
from tests.keras_aqe.tensors import array, compiled, differentiate

ALL = [estimators.aqe, estimators.aqe_ste, estimators.ste]


def half(x):
    return keras.ops.round(x * 2) / 2


@pytest.mark.slow
@pytest.mark.parametrize("compile", [lambda function: function, compiled])
@pytest.mark.parametrize("alpha", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("name", ["aqe", "aqe_ste"])
def test_aqe_takes_any_hard_function(name, alpha, compile):
    estimate = estimators.get(name)
    factor = {"aqe": 2 * alpha, "aqe_ste": 1}[name]
    x = np.random.uniform(-2, 2, 200).astype("float32")
    run = compile(lambda x: estimate(x, half, alpha))
    y, gradient = differentiate(run, x)
    hard = np.rint(x * 2) / 2
    np.testing.assert_allclose(
        y, alpha * hard + (1 - alpha) * x, rtol=1e-6, atol=1e-7
    )
    np.testing.assert_array_equal(gradient, factor * (np.abs(x) <= 1))


def test_ste():
    x = np.random.uniform(-2, 2, 200).astype("float32")
    y, gradient = differentiate(lambda x: estimators.ste(x, half, 0.7), x)
    np.testing.assert_array_equal(y, np.rint(x * 2) / 2)
    np.testing.assert_array_equal(gradient, np.abs(x) <= 1)


@pytest.mark.parametrize("estimator", ALL)
def test_the_gradient_passes_between_limits(estimator):
    x = np.array([-1.0, -1e-6, 0.0, 1.9, 2.0, 2.001], "float32")
    gradient = backend.gradient(
        lambda x: estimator(x, half, 0.5, (0.0, 2.0)), x
    )
    np.testing.assert_array_equal(gradient, [0, 0, 1, 1, 1, 0])


@pytest.mark.parametrize("estimator", ALL)
def test_no_gradient_reaches_alpha(estimator):
    """Alpha counts by what is beside the estimator alone."""
    x = keras.ops.convert_to_tensor([0.3])
    gradient = backend.gradient(
        lambda alpha: estimator(x, half, alpha) + 3 * alpha, np.float32(0.7)
    )
    np.testing.assert_array_equal(gradient, 3)


@pytest.mark.tensorflow
def test_alpha_is_not_even_connected():
    import tensorflow as tf

    alpha = tf.constant(0.7)
    with tf.GradientTape() as tape:
        tape.watch(alpha)
        y = estimators.aqe(tf.constant([0.3]), half, alpha)
    assert tape.gradient(y, alpha) is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_aqe_keeps_the_type(dtype):
    x = keras.ops.convert_to_tensor([0.3], dtype)
    y = estimators.aqe(x, half, 0.7)
    # JAX has no float64 unless it is asked for.
    assert y.dtype == x.dtype
    np.testing.assert_allclose(
        array(keras.ops.cast(y, "float32")), 0.7 * 0.5 + 0.3 * 0.3, rtol=1e-2
    )


def test_get():
    assert estimators.get("aqe") is estimators.aqe
    assert estimators.get("aqe_ste") is estimators.aqe_ste
    assert estimators.get("ste") is estimators.ste
    with pytest.raises(ValueError, match="aqe.*ste.*Received.*'qat'"):
        estimators.get("qat")
