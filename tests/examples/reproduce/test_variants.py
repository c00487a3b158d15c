"""What settings of a run do to a model, against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_aqe as aqe
from examples.reproduce import runs, tensorflow_training, variants

X = [-1.5, -0.75, -0.05, 0.0, 0.25, 1.0]
ROLES = {"kernels": "kernel_quantizer", "inputs": "quantizer"}


def network(**kwargs):
    return aqe.models.MINWNet("D", filters=2, dense_units=4, **kwargs)


@pytest.mark.parametrize("forward", ["blend", "hard"])
@pytest.mark.parametrize("gradient", ["2 alpha", "1", "1 - alpha"])
@pytest.mark.parametrize("bits", [1, 3])
def test_forward_pass_and_factor_of_the_gradient(forward, gradient, bits):
    model = keras.Sequential(
        [
            keras.Input((5,)),
            aqe.layers.QuantActivation(aqe.quantizers.of_width(bits)),
        ]
    )
    x = tf.constant([[-1.5, -0.6, 0.1, 0.9, 1.0]])
    model.layers[0].quantizer.alpha.assign(0.75)
    expected = model(x, training=forward == "blend")
    run = {**runs.DEFAULTS, "forward": forward, "gradient": gradient}
    tensorflow_training.apply(model, run)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x, training=True)
    np.testing.assert_array_equal(y, expected)
    factor = {"2 alpha": 1.5, "1": 1.0, "1 - alpha": 0.25}[gradient]
    np.testing.assert_allclose(
        tape.gradient(y, x), [[0, factor, factor, factor, factor]]
    )


def test_thresholds_are_those_of_the_role():
    model = aqe.models.MINWNet(
        "D", input_bits=2, weight_bits=3, filters=2, dense_units=4
    )
    run = {
        **runs.DEFAULTS,
        "kernel_thresholds": {"at": [0.2, 0.4, 0.8]},
        "input_thresholds": {"at": [0.3]},
    }
    variants.set_thresholds(model, run)
    kernel = model.get_layer("conv2").kernel_quantizer
    inputs = model.get_layer("conv1_quant").quantizer
    assert (kernel.thresholds, kernel.relative) == ((0.2, 0.4, 0.8), True)
    assert (inputs.thresholds, inputs.relative) == ((0.3,), False)


@pytest.mark.parametrize("estimator", ["aqe", "aqe_ste", "ste"])
def test_estimators_of_the_package_are_forms_to_the_bit(estimator):
    x = tf.constant(np.random.default_rng(0).normal(size=99).astype("float32"))
    quantizer = aqe.quantizers.Ternary(estimator=estimator)
    quantizer.adopt("input")
    model = keras.Sequential(
        [keras.Input((1,)), aqe.layers.QuantActivation(quantizer)]
    )
    (form,) = variants.forms({**runs.DEFAULTS, "estimator": estimator}, model)
    results = []
    for estimate in (quantizer.estimate, variants.estimator(form)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = estimate(x, quantizer.hard, 0.3)
        results.append((y, tape.gradient(y, x)))
    for mine, theirs in zip(*results):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    "shape, expected",
    [
        ("flat", [0, 1, 1, 1, 1, 1]),
        ("triangle", [0, 0.5, 1.9, 2, 1.5, 0]),
        # Of x^(1/2), o = 1 + 2 alpha = 2, and below 0.1 as steep as to there.
        (
            "power",
            [0, 0.5 / 0.75**0.5, 1 / 0.1**0.5, 1 / 0.1**0.5, 1, 0.5],
        ),
    ],
)
def test_shapes_of_the_gradient(shape, expected):
    x = tf.constant(X)
    estimate = variants.estimator((0.0, 1.0, 0.0, 2.0), shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = estimate(x, tf.sign, 0.5)
    np.testing.assert_allclose(tape.gradient(y, x), expected, rtol=1e-6)
    np.testing.assert_allclose(y, 0.5 * np.sign(X) + 0.5 * np.array(X))


@pytest.mark.parametrize("kind", ["input", "kernel"])
@pytest.mark.parametrize("shape", ["triangle", "power"])
def test_the_gradient_has_its_shape_where_the_run_says(kind, shape):
    model = network(estimator="ste")
    run = {**runs.DEFAULTS, "estimator": "ste", f"{kind}_gradient": shape}
    tensorflow_training.apply(model, run)
    x = tf.constant(X)
    factors = {}
    for layer in model.layers:
        for role, name in ROLES.items():
            quantizer = getattr(layer, name, None)
            if quantizer is not None:
                quantizer.alpha.assign(1.0)
                with tf.GradientTape() as tape:
                    tape.watch(x)
                    y = quantizer(x, training=True)
                found = tape.gradient(y, x).numpy()
                factors.setdefault(role, found)
                np.testing.assert_array_equal(found, factors[role])
    shaped = factors.pop(f"{kind}s")
    (plain,) = factors.values()
    np.testing.assert_array_equal(plain, np.abs(X) <= 1)
    at_a_quarter = {"triangle": 1.5, "power": 0.25 ** (-2 / 3) / 3}[shape]
    np.testing.assert_allclose(shaped[4], at_a_quarter, rtol=1e-5)


@pytest.mark.parametrize("deviation", [0.5, 0.1])
@pytest.mark.parametrize("bits", [1, 2, 3])
def test_kernels_are_standardized_filter_by_filter(deviation, bits):
    run = {
        **runs.DEFAULTS,
        "bits": [1, bits],
        "kernel_constraint": {"deviation": deviation},
        "network_arguments": {"variant": "D", "filters": 2, "dense_units": 4},
    }
    model = variants.build(run, (32, 32, 3), 10)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if getattr(layer, "kernel_quantizer", None) is None:
            continue
        kernel = layer.kernel
        w = rng.normal(0.1, 0.3, size=kernel.shape).astype("float32")
        axes = tuple(range(w.ndim - 1))
        expected = (w - w.mean(axes)) * (deviation / w.std(axes))
        np.testing.assert_allclose(
            kernel.constraint(w), expected.clip(-1, 1), rtol=1e-4, atol=1e-5
        )


def test_standardized_kernels_leave_nothing_in_the_file(tmp_path):
    run = {
        **runs.DEFAULTS,
        "kernel_constraint": {"deviation": 0.5},
        "network_arguments": {"variant": "D", "filters": 2, "dense_units": 4},
    }
    keras.utils.set_random_seed(0)
    model = variants.build(run, (32, 32, 3), 10)
    model.compile("adam", "mse")
    rng = np.random.default_rng(0)
    images = rng.normal(size=(8, 32, 32, 3)).astype("float32")
    model.fit(images, np.zeros((8, 10)), verbose=0)
    kernel = model.get_layer("conv2").kernel.numpy()
    # Some weights were clipped after they had been scaled.
    np.testing.assert_allclose(kernel.std((0, 1, 2)), 0.5, rtol=0.1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    constraint = loaded.get_layer("conv2").kernel.constraint
    assert isinstance(constraint, aqe.constraints.WeightClip)
    np.testing.assert_array_equal(loaded(images), model(images))


@pytest.mark.parametrize("kind", ["inputs", "kernels"])
def test_aqe_for_some_quantizers_is_ste_for_the_others(kind):
    model = network()
    run = {**runs.DEFAULTS, "aqe_for": kind}
    found = dict(
        zip(
            [q.name for q in aqe.callbacks.find(model)],
            variants.forms(run, model),
        )
    )
    for layer in model.layers:
        for role, name in ROLES.items():
            quantizer = getattr(layer, name, None)
            if quantizer is not None:
                by_aqe = (0, 1, 0, 2) if role == kind else (1, 0, 1, 0)
                assert found.pop(quantizer.name) == by_aqe
    assert not found


@pytest.mark.parametrize("decayed", ["all", "latent", "other"])
def test_which_variables_decay(decayed):
    model = network()
    decays = variants.decays({**runs.DEFAULTS, "decayed": decayed}, model)
    for variable, share in zip(model.trainable_variables, decays, strict=True):
        latent = variable.path.endswith("/kernel")
        assert share == (decayed in ("all", "latent" if latent else "other"))


@pytest.mark.parametrize(
    "setting",
    ["aqe_for", "forward", "gradient", "input_gradient", "kernel_gradient"],
)
def test_unknown_values_are_refused(setting):
    run = {**runs.DEFAULTS, setting: "none"}
    with pytest.raises(ValueError, match=f"`{setting}` must be one of"):
        tensorflow_training.apply(network(), run)


def test_mixed_precision_ends_in_float32():
    run = {
        **runs.DEFAULTS,
        "dtype": "mixed_bfloat16",
        "network_arguments": {"variant": "D", "filters": 2, "dense_units": 4},
    }
    model = variants.build(run, (32, 32, 3), 10)
    assert model.layers[-2].compute_dtype == "bfloat16"
    assert model.layers[-1].compute_dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"
