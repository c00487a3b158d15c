import numpy as np
import pytest
import tensorflow as tf

from keras_aqe import estimators


def half(x):
    return tf.round(x * 2) / 2


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("alpha", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("name", ["aqe", "aqe_ste"])
def test_aqe_takes_any_hard_function(name, alpha, compiled):
    estimate = estimators.get(name)
    factor = {"aqe": 2 * alpha, "aqe_ste": 1}[name]
    x = np.random.uniform(-2, 2, 200).astype("float32")

    def value_and_gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = estimate(x, half, alpha)
        return y, tape.gradient(y, x)

    run = tf.function(value_and_gradient) if compiled else value_and_gradient
    y, gradient = run(tf.constant(x))
    hard = np.rint(x * 2) / 2
    np.testing.assert_allclose(
        y, alpha * hard + (1 - alpha) * x, rtol=1e-6, atol=1e-7
    )
    np.testing.assert_array_equal(gradient, factor * (np.abs(x) <= 1))


def test_ste():
    x = tf.constant(np.random.uniform(-2, 2, 200).astype("float32"))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = estimators.ste(x, half, 0.7)
    np.testing.assert_array_equal(y, half(x))
    np.testing.assert_array_equal(tape.gradient(y, x), np.abs(x) <= 1)


@pytest.mark.parametrize(
    "estimator", [estimators.aqe, estimators.aqe_ste, estimators.ste]
)
def test_the_gradient_passes_between_limits(estimator):
    x = tf.constant([-1.0, -1e-6, 0.0, 1.9, 2.0, 2.001])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = estimator(x, half, 0.5, (0.0, 2.0))
    np.testing.assert_array_equal(tape.gradient(y, x), [0, 0, 1, 1, 1, 0])


def test_no_gradient_reaches_alpha():
    alpha = tf.constant(0.7)
    with tf.GradientTape() as tape:
        tape.watch(alpha)
        y = estimators.aqe(tf.constant([0.3]), half, alpha)
    assert tape.gradient(y, alpha) is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_aqe_keeps_the_type(dtype):
    y = estimators.aqe(tf.constant([0.3], dtype), half, 0.7)
    assert y.dtype == dtype


def test_get():
    assert estimators.get("aqe") is estimators.aqe
    assert estimators.get("aqe_ste") is estimators.aqe_ste
    assert estimators.get("ste") is estimators.ste
    with pytest.raises(ValueError, match="aqe.*ste.*Received.*'qat'"):
        estimators.get("qat")
