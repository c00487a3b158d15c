import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_aqe as aqe
from keras_aqe.callbacks import (
    AlphaScheduler,
    BlendHistory,
    KernelMetrics,
    find,
)


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
    expected = np.interp(np.arange(20) / 20, [0, 0.85], [0.1, 1])
    np.testing.assert_allclose(alphas, expected, rtol=1e-6)
    np.testing.assert_allclose(history["alpha"], expected[4::5], rtol=1e-6)


def test_steps_per_execution_does_not_stretch_the_schedule():
    model = compiled(steps_per_execution=5)
    alphas, _ = fit(model, AlphaScheduler(lambda p: 0.5 + p / 2), epochs=4)
    np.testing.assert_allclose(alphas, [0.6, 0.725, 0.85, 0.975])


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


def test_kernel_metrics_are_logged():
    """Epochs are compared with each other, the first with the start."""
    model = nested_model()
    model.compile(keras.optimizers.Adam(0.1), "mse")
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


def test_blend_history():
    model = straight_model()
    model.layers[2].rate = 0.0
    model.compile("sgd", "mse")
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


def test_blend_history_does_not_change_the_run():
    keras.utils.set_random_seed(0)
    start = straight_model().get_weights()
    results = []
    for callbacks in ([], [BlendHistory("dense", "quant", X)]):
        keras.utils.set_random_seed(0)
        model = straight_model()
        model.set_weights(start)
        model.compile("sgd", "mse")
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
