"""Metrics of kernels in the logs of `fit`."""

import keras
import numpy as np
import pytest

from keras_aqe.callbacks import (
    AlphaScheduler,
    KernelMetrics,
)
from tests.keras_aqe.callbacks.fitting import (
    X,
    Y,
    compiled,
    fit,
    nested_model,
)


@pytest.mark.slow
def test_kernel_metrics_are_logged():
    """Epochs are compared with each other, the first with the start."""
    model = nested_model()
    model.compile(keras.optimizers.Adam(0.1), "mse", run_eagerly=True)
    (kernel,) = [
        weight
        for weight in model.trainable_weights
        if "quant" in weight.path and weight.path.endswith("kernel")
    ]

    class Signs(keras.callbacks.Callback):
        signs = [kernel.numpy() >= 0]

        def on_epoch_end(self, epoch, logs=None):
            self.signs.append(kernel.numpy() >= 0)

    callbacks = [KernelMetrics(), Signs()]
    _, history = fit(model, AlphaScheduler(), epochs=4, callbacks=callbacks)
    signs = Signs.signs
    expected = [(a != b).mean() for a, b in zip(signs, signs[1:])]
    assert max(expected) > 0
    np.testing.assert_allclose(history["flip_ratio"], expected, rtol=1e-6)
    assert history["quantization_gap"][0] > history["quantization_gap"][-1]


@pytest.mark.slow
def test_kernel_metrics_of_batches():
    class Count(keras.metrics.Sum):
        def update_state(self, model):
            super().update_state(1.0)

    callback = KernelMetrics([Count(name="updates")], update_freq="batch")
    _, history = fit(
        compiled(), AlphaScheduler(), epochs=2, callbacks=[callback]
    )
    assert history["updates"] == [5, 5]


def test_kernel_metrics_bad_arguments():
    with pytest.raises(ValueError, match="update_freq='step'"):
        KernelMetrics(update_freq="step")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="no quantized kernel"):
        model.fit(X, Y, verbose=0, callbacks=[KernelMetrics()])
