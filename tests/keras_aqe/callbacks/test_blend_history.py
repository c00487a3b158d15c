"""What a run's blended values were, against NumPy."""

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe.callbacks import (
    AlphaScheduler,
    BlendHistory,
)
from keras_aqe.callbacks.blend_history import run_as_in_training
from tests.keras_aqe.callbacks.fitting import (
    X,
    Y,
    fit,
)


def straight_model():
    return keras.Sequential(
        [
            keras.Input((4,)),
            aqe.layers.QuantDense(6, kernel_quantizer="binary", name="dense"),
            keras.layers.BatchNormalization(name="bn"),
            keras.layers.Dropout(0.5),
            aqe.layers.QuantActivation("ternary", name="quant"),
            keras.layers.Dense(1, name="last"),
        ]
    )


@pytest.mark.slow
def test_blend_history():
    model = straight_model()
    model.layers[2].rate = 0.0
    model.compile("sgd", "mse", run_eagerly=True)
    blends = BlendHistory("dense", "quant", X[:10], epochs=(1, 3))
    alphas, _ = fit(model, AlphaScheduler(), epochs=3, callbacks=[blends])
    assert list(blends.kernels) == list(blends.activations) == [1, 3]
    np.testing.assert_allclose(
        [blends.alphas[1], blends.alphas[3]], [alphas[4], alphas[-1]]
    )
    alpha, kernel = alphas[-1], model.get_layer("dense").kernel.numpy()
    kernel = alpha * np.where(kernel >= 0, 1, -1) + (1 - alpha) * kernel
    np.testing.assert_allclose(blends.kernels[3], kernel, rtol=1e-6)
    bn = model.get_layer("bn")
    x = X[:10] @ kernel + model.get_layer("dense").bias.numpy()
    x = (x - x.mean(0)) / np.sqrt(x.var(0) + bn.epsilon)
    x = x * bn.gamma.numpy() + bn.beta.numpy()
    hard = np.sign(x) * (np.abs(x) > 0.5)
    expected = alpha * hard + (1 - alpha) * x
    np.testing.assert_allclose(
        blends.activations[3], expected, rtol=1e-4, atol=1e-5
    )


def test_looking_leaves_the_dropout_that_comes_next():
    model = straight_model()
    first, second = (run_as_in_training(model, X) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_blend_history_does_not_change_the_run():
    keras.utils.set_random_seed(0)
    start = straight_model().get_weights()
    results = []
    for callbacks in ([], [BlendHistory("dense", "quant", X)]):
        keras.utils.set_random_seed(0)
        model = straight_model()
        model.set_weights(start)
        model.compile("sgd", "mse", run_eagerly=True)
        fit(model, AlphaScheduler(), epochs=2, callbacks=callbacks)
        results.append(model.get_weights())
    for one, other in zip(*results):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("last",), "'last' has no `kernel_quantizer`"),
        ((None, "bn", X), "'bn' has no `quantizer`"),
        (("other",), "other"),
    ],
)
def test_blend_history_of_layers_that_do_not_fit(arguments, message):
    model = straight_model()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y, verbose=0, callbacks=[BlendHistory(*arguments)])


def test_blend_history_needs_inputs():
    with pytest.raises(ValueError, match="go together"):
        BlendHistory("dense", "quant")
