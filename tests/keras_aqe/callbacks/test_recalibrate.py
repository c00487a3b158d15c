"""What `Recalibrate` leaves is what `keras_aqe.recalibrate` would."""

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe.callbacks import AlphaScheduler, Recalibrate

X, Y = np.random.default_rng(0).normal(size=(2, 48, 4)).astype("float32")


@pytest.mark.slow
def test_a_soft_run_ends_hard_and_as_by_hand():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            aqe.layers.QuantDense(
                4, input_quantizer="ternary", kernel_quantizer="binary"
            ),
            keras.layers.BatchNormalization(),
        ]
    )
    model.compile("sgd", "mse", run_eagerly=True)
    soft = AlphaScheduler(aqe.schedules.Constant(0.5))
    # In front, so that what is said of soft ends does not come.
    model.fit(X, Y, verbose=0, callbacks=[Recalibrate(X, 16), soft])
    after = model.get_weights()
    assert not any(q.is_soft for q in aqe.callbacks.find(model))
    aqe.recalibrate(model, X, batch_size=16)
    for ours, theirs in zip(after, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    sums = np.asarray(model.layers[0](X, training=False))
    np.testing.assert_allclose(
        model.layers[1].moving_mean, np.mean(sums, axis=0), atol=1e-6
    )
