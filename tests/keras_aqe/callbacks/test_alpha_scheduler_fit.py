"""Alpha of each step of plain calls of `fit`."""

import keras
import numpy as np
import pytest

from keras_aqe.callbacks import (
    AlphaScheduler,
    find,
)
from tests.keras_aqe.callbacks.fitting import (
    SEVERAL_BATCHES,
    Record,
    X,
    Y,
    compiled,
    fit,
)


@pytest.mark.slow
def test_alpha_of_each_batch():
    """In a graph, compiled by XLA where Keras would."""
    model = compiled(run_eagerly=False)
    alphas, history = fit(model, AlphaScheduler(), epochs=4)
    expected = np.interp(np.arange(20) / 20, [0, 0.85], [0.1, 1])
    np.testing.assert_allclose(alphas, expected, rtol=1e-6)
    np.testing.assert_allclose(history["alpha"], expected[4::5], rtol=1e-6)


@pytest.mark.slow
@SEVERAL_BATCHES
def test_steps_per_execution_does_not_stretch_the_schedule():
    model = compiled(run_eagerly=False, steps_per_execution=5)
    alphas, _ = fit(model, AlphaScheduler(lambda p: 0.5 + p / 2), epochs=4)
    np.testing.assert_allclose(alphas, [0.6, 0.725, 0.85, 0.975])


@pytest.mark.slow
def test_total_steps():
    callback = AlphaScheduler(lambda p: 0.5 + p / 2, total_steps=5)
    alphas, _ = fit(compiled(), callback, epochs=2)
    np.testing.assert_allclose(
        alphas, [0.5, 0.6, 0.7, 0.8, 0.9] + [1.0] * 5, rtol=1e-6
    )


@pytest.mark.slow
def test_a_resumed_run_goes_on_where_it_was(tmp_path):
    whole, _ = fit(compiled(), AlphaScheduler(), epochs=4)

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    path = str(tmp_path / "model.keras")
    save = keras.callbacks.ModelCheckpoint(path)
    first, _ = fit(
        compiled(), AlphaScheduler(), epochs=4, callbacks=[save, Stop()]
    )
    again = keras.models.load_model(path)
    assert float(find(again)[0].alpha) == first[-1]
    rest, _ = fit(again, AlphaScheduler(), epochs=4, initial_epoch=2)
    assert first + rest == whole


@pytest.mark.slow
@pytest.mark.tensorflow
def test_an_endless_dataset_needs_steps():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensors((X, Y)).repeat()
    model = compiled()
    with pytest.raises(ValueError, match="total_steps.*steps_per_epoch"):
        model.fit(data, callbacks=[AlphaScheduler()], verbose=0)
    callbacks = [AlphaScheduler(), Record()]
    model.fit(data, epochs=2, steps_per_epoch=2, callbacks=callbacks, verbose=0)
    assert len(callbacks[1].alphas) == 4


@pytest.mark.parametrize("alpha", [0.0, -0.1, 1.5])
def test_a_schedule_that_leaves_its_range(alpha):
    with pytest.raises(ValueError, match=r"in \(0, 1\]"):
        fit(compiled(), AlphaScheduler(lambda progress: alpha))


def test_a_model_without_quantizers():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="no quantizer"):
        fit(model, AlphaScheduler())


def test_bad_arguments():
    with pytest.raises(ValueError, match="callable.*0.5"):
        AlphaScheduler(0.5)
    with pytest.raises(ValueError, match="total_steps=0"):
        AlphaScheduler(total_steps=0)
