"""The whole way of a network inside and after strategies of tf.distribute."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_aqe as aqe
from keras_aqe import converters
from tests.randomised import images

STRATEGIES = {
    "one device": lambda: tf.distribute.OneDeviceStrategy("CPU:1"),
    "workers": tf.distribute.MultiWorkerMirroredStrategy,
}


def network():
    inputs = keras.Input((5, 5, 2))
    x = aqe.layers.QuantConv2D(4, 3, kernel_quantizer="binary")(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = aqe.layers.HardTanh()(x)
    codes = aqe.quantizers.Ternary(stochastic=True)
    x = aqe.layers.QuantActivation(codes, name="codes")(x)
    x = keras.layers.Flatten()(x)
    x = aqe.layers.QuantDense(3, kernel_quantizer="po2_3", name="dense")(x)
    model = keras.Model(inputs, x)
    model.compile("adam", "mse", jit_compile=False)
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, inside",
    [
        ("one device", True),
        # As inside of the others, and outside of itself.
        pytest.param("mirrored", True, marks=pytest.mark.long),
        ("mirrored", False),
        ("workers", True),
    ],
)
def test_train_measure_recalibrate_convert_verify(
    name, inside, mirrored, tmp_path
):
    x = images((5, 5, 2), examples=32)
    strategy = mirrored if name == "mirrored" else STRATEGIES[name]()
    with strategy.scope():
        model = network()
    blends = aqe.callbacks.BlendHistory("dense", "codes", x[:4])
    with strategy.scope() if inside else contextlib.nullcontext():
        history = model.fit(
            x,
            np.zeros((32, 3)),
            batch_size=8,
            epochs=2,
            verbose=0,
            callbacks=[
                aqe.callbacks.AlphaScheduler(),
                aqe.callbacks.KernelMetrics(),
                blends,
            ],
        )
        model.save(tmp_path / "model.keras")
        aqe.recalibrate(model, x, batch_size=16)
        rows = aqe.summary(model, print_fn=lambda text: None).rows
        verifications = [
            converters.verify(model, converters.convert(model, target), x)
            for target in (["packed"] if inside else ["lce", "tflite"])
        ]
    alphas = list(blends.alphas.values())
    np.testing.assert_allclose(history.history["alpha"], alphas, rtol=1e-6)
    assert 0 < alphas[0] < alphas[1] <= 1
    assert [row.operation for row in rows] == ["XNOR ADDER", "XNOR"]
    for verification in verifications:
        assert verification.labels_equal and verification.codes_equal
    # Outside of every strategy.
    alone = keras.models.load_model(tmp_path / "model.keras")
    aqe.recalibrate(alone, x, batch_size=16)
    for ours, theirs in zip(model.get_weights(), alone.get_weights()):
        np.testing.assert_array_equal(ours, theirs)
