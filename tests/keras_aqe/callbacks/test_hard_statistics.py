"""Statistics at alpha = 1 against averages of the batches, with NumPy."""

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe.callbacks import AlphaScheduler
from tests.combinations import each_once
from tests.keras_aqe.callbacks.fitting import OWN_TRAIN_STEP, SEVERAL_BATCHES

BATCH, STEPS = 8, 5
X = np.random.RandomState(0).normal(2, 3, (BATCH * STEPS, 4)).astype("float32")
Y = X[:, :1]
# Soft for two epochs, then hard for two.
HALF = aqe.schedules.Piecewise([0.5], [0.5, 1.0])


def network(run_eagerly=True, **kwargs):
    """Weights do not train, so that statistics depend on alpha alone.

    Few steps take less than it takes to compile a graph for them.
    """
    model = keras.Sequential(
        [
            keras.Input((4,)),
            aqe.layers.QuantActivation("ternary"),
            keras.layers.BatchNormalization(**kwargs),
            keras.layers.Dense(1),
        ]
    )
    model.compile(
        keras.optimizers.SGD(0.0),
        "mse",
        run_eagerly=run_eagerly,
        jit_compile=False,
    )
    return model


def average(batches, momentum):
    """Mean and variance of hard batches, later ones weighing more."""
    hard = [np.sign(b) * (np.abs(b) > 0.5) for b in batches]
    weights = momentum ** np.arange(len(hard))[::-1]
    return [
        np.average([moment(b, axis=0) for b in hard], axis=0, weights=weights)
        for moment in (np.mean, np.var)
    ]


def fit(model, **kwargs):
    model.fit(
        X,
        Y,
        batch_size=BATCH,
        shuffle=False,
        verbose=0,
        **{"epochs": 4, "callbacks": [AlphaScheduler(HALF)], **kwargs},
    )
    return model


def check(layer, batches, momentum=0.99):
    mean, variance = average(batches, momentum)
    # float32 moving statistics, whose old part is up to 20 times the new.
    np.testing.assert_allclose(layer.moving_mean, mean, atol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, variance, atol=1e-4)


BATCHES = list(X.reshape(STEPS, BATCH, 4))


@pytest.mark.slow
@pytest.mark.parametrize(
    "momentum, run_eagerly",
    each_once([0.99, 0.9, 0.5, 0.0], [False, True]),
)
def test_statistics_are_those_of_the_hard_batches(momentum, run_eagerly):
    model = fit(network(run_eagerly, momentum=momentum))
    check(model.layers[1], 2 * BATCHES, momentum)


KINDS = {
    "dataset": lambda data: data,
    "of unknown length": lambda data: data.filter(lambda x, y: True),
    "endless": lambda data: data.repeat(),
}


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "kind, validation", each_once(list(KINDS), [False, True])
)
def test_kinds_of_data(kind, validation):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH)
    data, model, endless = KINDS[kind](data), network(), None
    if data.cardinality() == tf.data.INFINITE_CARDINALITY:
        endless = STEPS
    model.fit(
        data,
        epochs=4,
        steps_per_epoch=endless,
        verbose=0,
        validation_data=(X, Y) if validation else None,
        callbacks=[AlphaScheduler(HALF, total_steps=4 * STEPS)],
    )
    check(model.layers[1], 2 * BATCHES)


@pytest.mark.slow
@SEVERAL_BATCHES
def test_an_execution_of_several_batches():
    model = network()
    model.compile(
        keras.optimizers.SGD(0.0),
        "mse",
        jit_compile=False,
        steps_per_execution=2,
    )
    # Alpha is that of an execution's last batch: 1 from the one before on.
    check(fit(model).layers[1], 2 * BATCHES)


@pytest.mark.slow
def test_validation_sees_them_already():
    seen = []

    class See(keras.callbacks.Callback):
        def on_test_begin(self, logs=None):
            seen.append(self.model.layers[1].moving_mean.numpy())

    fit(
        network(),
        validation_data=(X, Y),
        callbacks=[AlphaScheduler(HALF), See()],
    )
    for epochs, mean in ((1, seen[2]), (2, seen[3])):
        expected, _ = average(epochs * BATCHES, 0.99)
        np.testing.assert_allclose(mean, expected, atol=1e-4)


@pytest.mark.slow
def test_a_layer_called_three_times_and_nested():
    norm = keras.layers.BatchNormalization()
    inputs = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), norm])
    x = aqe.layers.QuantActivation("ternary")(inputs)
    x = keras.layers.Add()([inner(x), inner(-x), norm(x)])
    model = keras.Model(inputs, keras.layers.Dense(1)(x))
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=False)
    fit(model)
    _, variance = average(2 * BATCHES, 0.99**3)
    np.testing.assert_allclose(norm.moving_variance, variance, atol=1e-4)


@pytest.mark.slow
def test_what_does_not_train_stays():
    model = network()
    model.layers[1].trainable = False
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=False)
    model.layers[1].moving_mean.assign([1.0, 2.0, 3.0, 4.0])
    fit(model)
    np.testing.assert_array_equal(model.layers[1].moving_mean, [1, 2, 3, 4])


class TwoCalls(keras.Model):
    def train_step(self, data):
        self(data[0], training=True)
        return super().train_step(data)


@pytest.mark.slow
@OWN_TRAIN_STEP
def test_steps_that_are_not_known_leave_keras_statistics():
    model = network()
    model = TwoCalls(model.inputs, model.outputs)
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=False)
    before = average(2 * BATCHES, 0.99)[0]
    fit(model)
    layer = model.layers[2]
    assert np.abs(layer.moving_mean - before).max() > 0.01


@pytest.mark.slow
def test_a_run_that_goes_on_hard_keeps_its_history():
    model = fit(network())
    layer = model.layers[1]
    mean = layer.moving_mean.numpy()
    fit(model, epochs=1, callbacks=[AlphaScheduler()])
    for batch in BATCHES:
        hard = np.sign(batch) * (np.abs(batch) > 0.5)
        mean = 0.99 * mean + 0.01 * hard.mean(0)
    np.testing.assert_allclose(layer.moving_mean, mean, atol=1e-5)
