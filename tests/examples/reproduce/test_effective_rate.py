"""What docs/learning_rate.md says of the factor 2 alpha."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_aqe as aqe
from examples.reproduce import effective_rate, runs, variants
from tests.combinations import each_once

DOCS = pathlib.Path(__file__).parents[3] / "docs"


def gradients(gradient, alpha):
    """`{path: gradient}` of a small MINW-Net, by a factor of the gradient."""
    keras.utils.set_random_seed(0)
    model = aqe.models.MINWNet("D", 1, 3, filters=4, dense_units=8)
    forms = variants.forms({**runs.DEFAULTS, "gradient": gradient}, model)
    quantizers = aqe.callbacks.find(model)
    for quantizer, form in zip(quantizers, forms, strict=True):
        quantizer.estimate = variants.estimator(form)
        quantizer.alpha.assign(alpha)
    images = np.random.default_rng(0).normal(size=(8, 32, 32, 3))
    with tf.GradientTape() as tape:
        logits = model(images.astype("float32"), training=True)
        loss = tf.reduce_mean(logits[:, 0] ** 2)
    variables = model.trainable_variables
    found = tape.gradient(loss, [variable.value for variable in variables])
    return {v.path: g.numpy() for v, g in zip(variables, found)}


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.3, 0.9])
def test_the_factor_compounds_over_layers_and_does_nothing_else(alpha):
    found, plain = gradients("2 alpha", alpha), gradients("1", alpha)
    layers = [f"conv{n}" for n in range(1, 7)]
    layers += [f"dense{n}" for n in range(1, 4)]
    kernels = [f"{layer}/kernel" for layer in layers]
    assert kernels == [path for path in plain if path.endswith("kernel")]
    for count, path in zip(range(9, 0, -1), kernels):
        expected = (2 * alpha) ** count * plain[path]
        assert np.any(expected)
        np.testing.assert_allclose(
            found[path], expected, rtol=1e-3, atol=1e-5 * expected.max()
        )


@pytest.mark.slow
@pytest.mark.parametrize("count, beta_2", each_once([9, 1], [0.999, 0.9]))
def test_updates_are_those_of_adam(count, beta_2):
    steps, size = 200, 10_000
    factors = np.linspace(1, 2, steps) ** count

    def deviations(factors):
        """The deviation of each of Adam's updates, on random gradients."""
        rng = np.random.default_rng(0)
        variable = keras.Variable(np.zeros(size, "float32"))
        adam = keras.optimizers.Adam(1.0, beta_2=beta_2)
        adam.build([variable])
        before, found = variable.numpy(), []
        for factor in factors:
            draws = rng.normal(size=size).astype("float32")
            adam.apply([tf.constant(factor * draws, "float32")])
            found.append(np.std(variable.numpy() - before))
            before = variable.numpy()
        return np.array(found)

    measured = deviations(factors) / deviations(np.ones(steps))
    expected = effective_rate.updates(factors, beta_2=beta_2)
    assert expected.max() > (1.5 if (count, beta_2) == (9, 0.999) else 1)
    # The first updates are all of size 1, whatever the factor.
    np.testing.assert_allclose(measured[20:], expected[20:], rtol=0.03)


def test_the_table_is_what_the_command_prints(capsys):
    effective_rate.main()
    steps, *table = capsys.readouterr().out.splitlines()
    text = (DOCS / "learning_rate.md").read_text()
    assert steps in text
    rows = [line for line in text.splitlines() if line.startswith("| 0.")]
    assert rows
    assert [row for row in rows if row not in table] == []
