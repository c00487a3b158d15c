"""What settings of a run do to a model, against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_aqe as aqe
from examples.reproduce import runs, variants


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
    variants.apply(model, run)
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
    variants.apply(model, run)
    kernel = model.get_layer("conv2").kernel_quantizer
    inputs = model.get_layer("conv1_quant").quantizer
    assert (kernel.thresholds, kernel.relative) == ((0.2, 0.4, 0.8), True)
    assert (inputs.thresholds, inputs.relative) == ((0.3,), False)


def test_weight_decay_is_added_to_the_loss():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    variants.apply(model, {**runs.DEFAULTS, "weight_decay": 0.1})
    kernel = model.layers[0].kernel.numpy()
    assert float(sum(model.losses)) == pytest.approx(
        0.05 * np.sum(kernel**2), rel=1e-6
    )
