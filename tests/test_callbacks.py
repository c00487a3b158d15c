import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_aqe as aqe
from keras_aqe.callbacks import AlphaScheduler, find


def nested_model():
    inner = keras.Sequential(
        [
            keras.Input((4,)),
            aqe.layers.QuantDense(
                6, input_quantizer="ternary", kernel_quantizer="binary"
            ),
        ]
    )
    inputs = keras.Input((4,))
    x = aqe.layers.QuantActivation("po2_3")(inputs)
    return keras.Model(inputs, keras.layers.Dense(1)(inner(x)))


def compiled(**kwargs):
    model = nested_model()
    model.compile("sgd", "mse", **kwargs)
    return model


X, Y = np.random.RandomState(0).normal(size=(2, 40, 4)).astype("float32")
Y = Y[:, :1]


class Record(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.alphas = []

    def on_train_batch_end(self, batch, logs=None):
        alphas = {float(q.alpha) for q in find(self.model)}
        assert len(alphas) == 1
        self.alphas.append(alphas.pop())


def fit(model, callback, **kwargs):
    record = Record()
    history = model.fit(
        X,
        Y,
        batch_size=8,
        shuffle=False,
        verbose=0,
        callbacks=[callback, record, *kwargs.pop("callbacks", [])],
        **kwargs,
    )
    return record.alphas, history.history


def test_find_sees_nested_models():
    assert len(find(nested_model())) == 3


def test_alpha_of_each_batch():
    alphas, history = fit(compiled(), AlphaScheduler(), epochs=4)
    expected = np.interp(np.arange(20) / 20, [0, 0.85], [0.5, 1])
    np.testing.assert_allclose(alphas, expected, rtol=1e-6)
    np.testing.assert_allclose(history["alpha"], expected[4::5], rtol=1e-6)


def test_steps_per_execution_does_not_stretch_the_schedule():
    model = compiled(steps_per_execution=5)
    alphas, _ = fit(model, AlphaScheduler(lambda p: 0.5 + p / 2), epochs=4)
    np.testing.assert_allclose(alphas, [0.5, 0.625, 0.75, 0.875])


def test_total_steps():
    callback = AlphaScheduler(lambda p: 0.5 + p / 2, total_steps=5)
    alphas, _ = fit(compiled(), callback, epochs=2)
    np.testing.assert_allclose(
        alphas, [0.5, 0.6, 0.7, 0.8, 0.9] + [1.0] * 5, rtol=1e-6
    )


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


def test_an_endless_dataset_needs_steps():
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
