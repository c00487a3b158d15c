"""Blend, gradient and stochastic form of each quantizer."""

import numpy as np
import pytest

import keras_aqe as aqe
from tests.keras_aqe.tensors import array, compiled, differentiate

UNSIGNED = ["unsigned_1", "unsigned_2", "unsigned_3"]
NAMES = ["binary", "ternary", "po2_3", "po2_4", "fixed_8", "float16", *UNSIGNED]
NARROW = ["binary", "ternary", "po2_3", "po2_4", "fixed_4", *UNSIGNED]
# Where gradients pass, and numbers just outside whose parts are normal ones.
LIMITS = np.array([-1.0, 1.0, 2.0, 0.0], "float32")
OUTSIDE = np.nextafter(LIMITS, np.array([-9, 9, 9, -9], "float32"))
OUTSIDE[-1] = -1e-30


@pytest.fixture
def x():
    x = np.random.uniform(-1.5, 2.5, (40, 30)).astype("float32")
    x[0, :8] = [*LIMITS, *OUTSIDE]
    return x


def passes(name, x):
    low, high = (0, 2) if name in UNSIGNED else (-1, 1)
    return (low <= x) & (x <= high)


def blend_and_gradient(quantizer, x, upstream):
    return differentiate(lambda x: quantizer(x, training=True), x, upstream)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.73, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_blend_and_gradient(name, alpha, x):
    quantizer = aqe.quantizers.get(name)
    quantizer.alpha.assign(alpha)
    upstream = np.random.normal(size=x.shape).astype("float32")
    y, gradient = blend_and_gradient(quantizer, x, upstream)
    hard = array(quantizer.hard(x))
    alpha = np.float32(alpha)
    np.testing.assert_allclose(y, alpha * hard + (1 - alpha) * x, rtol=1e-6)
    np.testing.assert_allclose(
        gradient, 2 * alpha * upstream * passes(name, x), rtol=1e-6
    )


@pytest.mark.parametrize("scale", [2.0**-6, 8.0])
@pytest.mark.parametrize("estimator", ["aqe", "aqe_ste", "ste"])
@pytest.mark.parametrize("name", NARROW)
def test_a_scaled_quantizer_is_the_quantizer_of_scaled_numbers(
    name, estimator, scale, x
):
    upstream = np.random.normal(size=x.shape).astype("float32")
    scale = np.float32(scale)
    results = []
    for quantizer, factor in (
        (aqe.quantizers.get(name, estimator=estimator, scale=scale), scale),
        (aqe.quantizers.get(name, estimator=estimator), np.float32(1)),
    ):
        quantizer.alpha.assign(0.73)
        y, gradient = blend_and_gradient(quantizer, factor * x, upstream)
        results.append((y / factor, gradient))
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("name", NARROW)
def test_the_stochastic_form_has_the_scale(name):
    draws = []
    for scale in (1.0, 0.25):
        quantizer = aqe.quantizers.get(
            name, stochastic=True, seed=7, scale=scale
        )
        quantizer.alpha.assign(1.0)
        x = np.linspace(-0.85, 0.85, 35, dtype="float32") * np.float32(scale)
        draws.append(quantizer(np.tile(x, (50, 1)), training=True) / scale)
    np.testing.assert_allclose(*draws, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_at_one_half_the_gradient_is_the_straight_through_one(name, x):
    """Chen et al., 2020, Theorem 1."""
    upstream = np.random.normal(size=x.shape).astype("float32")
    blend = aqe.quantizers.get(name)
    blend.alpha.assign(0.5)
    straight = aqe.quantizers.get(name, estimator="ste")
    np.testing.assert_array_equal(
        blend_and_gradient(blend, x, upstream)[1],
        blend_and_gradient(straight, x, upstream)[1],
    )


@pytest.mark.parametrize("alpha", [0.1, 0.73, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_aqe_ste_is_the_output_of_one_and_the_gradient_of_the_other(
    name, alpha, x
):
    upstream = np.random.normal(size=x.shape).astype("float32")
    found = {}
    for estimator in ("aqe", "aqe_ste", "ste"):
        quantizer = aqe.quantizers.get(name, estimator=estimator)
        quantizer.alpha.assign(alpha)
        found[estimator] = blend_and_gradient(quantizer, x, upstream)
    (output, _), mixed, (_, gradient) = found.values()
    np.testing.assert_array_equal(mixed[0], output)
    np.testing.assert_array_equal(mixed[1], gradient)


@pytest.mark.parametrize("name", NAMES)
def test_straight_through_is_hard_in_training(name, x):
    quantizer = aqe.quantizers.get(name, estimator="ste")
    np.testing.assert_array_equal(
        quantizer(x, training=True), quantizer.hard(x)
    )


@pytest.mark.parametrize("alpha", [0.53, 0.65, 0.8])
def test_the_blend_has_an_empty_band_of_half_width_alpha(alpha):
    """Chen et al., 2020, Fig. 1."""
    quantizer = aqe.quantizers.Binary()
    quantizer.alpha.assign(alpha)
    x = np.random.uniform(-1, 1, 20000).astype("float32")
    y = np.abs(array(quantizer(x, training=True)))
    assert y.min() >= np.float32(alpha)
    assert y.min() < alpha + 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_the_blend_tends_to_the_hard_quantizer(name, x):
    """Chen et al., 2020, Theorem 3."""
    quantizer = aqe.quantizers.get(name)
    gaps = []
    for alpha in (0.5, 0.9, 0.99, 1.0):
        quantizer.alpha.assign(alpha)
        gap = array(quantizer(x, training=True)) - array(quantizer.hard(x))
        gaps.append(np.max(np.abs(gap)))
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] == 0


@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("estimator", ["aqe", "ste"])
@pytest.mark.parametrize("name", NARROW)
def test_inference_is_hard_whatever_alpha_is(name, estimator, stochastic, x):
    quantizer = aqe.quantizers.get(
        name, estimator=estimator, stochastic=stochastic
    )
    for alpha in (0.01, 0.5, 1.0):
        quantizer.alpha.assign(alpha)
        np.testing.assert_array_equal(quantizer(x), quantizer.hard(x))


@pytest.mark.parametrize("name", NARROW)
def test_the_mean_of_the_stochastic_form_is_x(name):
    quantizer = aqe.quantizers.get(name, stochastic=True, seed=7)
    quantizer.alpha.assign(1.0)
    x = np.linspace(-0.85, 0.85, 35, dtype="float32")
    if name in UNSIGNED:
        x = np.abs(x)
    draws = array(quantizer(np.tile(x, (20000, 1)), training=True))
    assert np.isin(draws, quantizer.levels).all()
    # six standard deviations of the widest step
    np.testing.assert_allclose(draws.mean(axis=0), x, atol=6 / 20000**0.5)


@pytest.mark.parametrize("name", NARROW)
def test_the_stochastic_form_blends(name, x):
    quantizer = aqe.quantizers.get(name, stochastic=True)
    quantizer.alpha.assign(0.75)
    upstream = np.random.normal(size=x.shape).astype("float32")
    y, gradient = blend_and_gradient(quantizer, x, upstream)
    hard = (y - 0.25 * x) / 0.75
    distance = np.abs(hard[..., None] - quantizer.levels).min(axis=-1)
    assert distance.max() < 1e-5
    np.testing.assert_allclose(gradient, 1.5 * upstream * passes(name, x))


def test_a_seed_repeats_the_stochastic_form(x):
    first, second = (
        aqe.quantizers.Binary(stochastic=True, seed=3)(x, training=True)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", NAMES)
def test_a_compiled_blend_is_the_eager_one(name, x):
    quantizer = aqe.quantizers.get(name)
    quantizer.alpha.assign(0.6)
    run = compiled(lambda x: quantizer(x, training=True))
    np.testing.assert_allclose(
        array(run(x)),
        array(quantizer(x, training=True)),
        rtol=1e-6,
        atol=1e-7,
    )
