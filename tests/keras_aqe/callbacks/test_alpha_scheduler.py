"""Where alpha is in runs that are no plain single call of `fit`."""

import warnings

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe.callbacks import AlphaScheduler, find
from tests.keras_aqe.callbacks.fitting import OWN_TRAIN_STEP, SEVERAL_BATCHES

X = np.random.RandomState(0).normal(size=(40, 4)).astype("float32")
Y = X[:, :1]
STEPS = 5
SCHEDULE = aqe.schedules.Linear(start=0.1)


def compiled(optimizer="sgd", run_eagerly=True, **kwargs):
    """Few steps take less than it takes to compile a graph for them."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            aqe.layers.QuantDense(1, kernel_quantizer="binary"),
            aqe.layers.QuantActivation("ternary"),
        ]
    )
    model.compile(
        optimizer, "mse", run_eagerly=run_eagerly, jit_compile=False, **kwargs
    )
    return model


class Record(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.alphas = []

    def on_train_batch_end(self, batch, logs=None):
        self.alphas.append(float(find(self.model)[0].alpha))


class Stop(keras.callbacks.Callback):
    """Stops after an epoch, counted from 0."""

    def __init__(self, last):
        super().__init__()
        self.last = last

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == self.last


def fit(model, epochs, scheduler=None, callbacks=(), x=X, y=Y, **kwargs):
    """Returns alpha of each batch and the warnings about alpha."""
    record = Record()
    if y is not None:
        kwargs["batch_size"] = len(X) // STEPS
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(
            x,
            y,
            epochs=epochs,
            verbose=0,
            callbacks=[*callbacks, scheduler or AlphaScheduler(), record],
            **kwargs,
        )
    messages = [str(w.message) for w in caught if "alpha" in str(w.message)]
    return record.alphas, messages


def expected(first, last, total):
    return [SCHEDULE(step / total) for step in range(first, last)]


def check_goes_on(alphas, start, end=1.0):
    """Rises from `start` to `end` in even steps, then stays."""
    assert alphas[0] == pytest.approx(start, abs=1e-3)
    assert alphas[-1] == end
    rises = np.diff(alphas)
    assert (rises >= 0).all() and rises.max() < 0.15


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.SGD(gradient_accumulation_steps=4),
        lambda: keras.optimizers.LossScaleOptimizer(
            # So large that the first steps overflow and are skipped.
            keras.optimizers.SGD(),
            initial_scale=2.0**120,
        ),
        lambda: keras.optimizers.Adam(),
    ],
    ids=["accumulation", "skipped steps", "plain"],
)
def test_alpha_counts_batches_and_not_updates(make):
    alphas, messages = fit(compiled(make(), run_eagerly=False), 4)
    np.testing.assert_allclose(alphas, expected(0, 20, 20), rtol=1e-6)
    assert not messages


@pytest.mark.slow
def test_total_steps_count_batches_over_several_calls():
    model = compiled(keras.optimizers.SGD(gradient_accumulation_steps=5))
    scheduler = AlphaScheduler(total_steps=20)
    alphas, messages = fit(model, 1, scheduler)
    assert "alpha = 0.312" in messages[0]
    rest, messages = fit(model, 3, scheduler)
    np.testing.assert_allclose(alphas + rest, expected(0, 20, 20), rtol=1e-6)
    assert not messages


@pytest.mark.slow
@SEVERAL_BATCHES
@pytest.mark.parametrize("batches", [2, 3, 5, 7])
def test_an_execution_has_the_alpha_of_its_last_batch(batches):
    model = compiled(run_eagerly=False, steps_per_execution=batches)
    alphas, messages = fit(model, 4)
    ends = [min(end, 5) for end in range(batches, 5 + batches, batches)]
    last = [5 * epoch + end - 1 for epoch in range(4) for end in ends]
    np.testing.assert_allclose(
        alphas, [SCHEDULE(step / 20) for step in last], rtol=1e-6
    )
    assert alphas[-1] == 1 and not messages


@pytest.mark.slow
@OWN_TRAIN_STEP
def test_a_custom_loop_optimizer_need_not_be_there():
    class Own(keras.Model):
        def train_step(self, data):
            return {"loss": keras.ops.mean(self(data[0], training=True))}

    model = compiled()
    model = Own(model.inputs, model.outputs)
    model.compile(jit_compile=False)
    alphas, _ = fit(model, 4, AlphaScheduler(total_steps=20))
    np.testing.assert_allclose(alphas, expected(0, 20, 20), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_datasets_of_unknown_and_endless_length():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    unknown = data.filter(lambda x, y: True)
    alphas, _ = fit(
        compiled(), 4, AlphaScheduler(total_steps=20), x=unknown, y=None
    )
    np.testing.assert_allclose(alphas, expected(0, 20, 20), rtol=1e-6)
    alphas, _ = fit(
        compiled(), 4, x=data.repeat(), y=None, steps_per_epoch=STEPS
    )
    np.testing.assert_allclose(alphas, expected(0, 20, 20), rtol=1e-6)


def stopped(epochs=10, last=3):
    model = compiled()
    alphas, messages = fit(model, epochs, callbacks=[Stop(last)])
    assert len(messages) == 1
    assert f"alpha = {alphas[-1]:.3f}" in messages[0]
    assert "call `fit`" in messages[0] and "recalibrate" in messages[0]
    return model, alphas


def same(model, tmp_path):
    return model


def loaded(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras")


def compiled_anew(model, tmp_path):
    again = compiled("adam")
    again.set_weights(model.get_weights())
    return again


@pytest.mark.slow
@pytest.mark.parametrize("go", [same, loaded, compiled_anew])
def test_a_later_call_goes_on_from_the_alpha_of_the_model(go, tmp_path):
    model, alphas = stopped()
    rest, messages = fit(go(model, tmp_path), 6)
    check_goes_on(rest, alphas[-1])
    assert len(messages) == 1 and "initial_epoch" in messages[0]


@pytest.mark.slow
def test_a_call_after_the_run_stays_at_one(tmp_path):
    model = compiled()
    fit(model, 4)
    alphas, messages = fit(loaded(model, tmp_path), 6)
    assert set(alphas) == {1.0} and "restart=True" in messages[0]
    alphas, messages = fit(model, 6, AlphaScheduler(restart=True))
    np.testing.assert_allclose(alphas, expected(0, 30, 30), rtol=1e-6)
    assert not messages


@pytest.mark.slow
def test_resuming_at_an_epoch_is_no_other_run(tmp_path):
    model, alphas = stopped()
    rest, messages = fit(loaded(model, tmp_path), 10, initial_epoch=4)
    np.testing.assert_allclose(alphas + rest, expected(0, 50, 50), rtol=1e-6)
    assert not messages


@pytest.mark.slow
def test_a_longer_run_than_planned_goes_on():
    model, alphas = stopped()
    rest, _ = fit(model, 20, initial_epoch=4)
    check_goes_on(rest, alphas[-1])


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False])
def test_backup_and_restore(first, tmp_path):
    """The order of the callbacks does not matter."""

    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if find(self.model)[0].alpha > 0.5:
                raise KeyboardInterrupt

    def run(callbacks):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        scheduler, record = AlphaScheduler(), Record()
        order = [backup, scheduler] if first else [scheduler, backup]
        compiled().fit(
            X,
            Y,
            batch_size=8,
            epochs=4,
            verbose=0,
            callbacks=[*order, record, *callbacks],
        )
        return record.alphas

    with pytest.raises(KeyboardInterrupt):
        run([Interrupt()])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rest = run([])
    np.testing.assert_allclose(rest, expected(5, 20, 20), rtol=1e-6)


@pytest.mark.slow
def test_a_schedule_that_never_gets_there_says_so():
    model = compiled()
    fit(model, 4)
    constant = aqe.schedules.Constant(0.5)
    alphas, messages = fit(model, 1, AlphaScheduler(constant))
    assert set(alphas) == {0.5}
    assert "alpha = 1.000" in messages[0] and "falls to 0.5" in messages[0]
    assert "ended at alpha = 0.500" in messages[1]
    rest, _ = fit(model, 4)
    check_goes_on(rest, 0.5)


def test_the_straight_through_estimator_is_not_soft():
    layer = aqe.layers.QuantDense(
        1, kernel_quantizer=aqe.quantizers.Binary(estimator="ste")
    )
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile("sgd", "mse", jit_compile=False)
    _, messages = fit(model, 1, AlphaScheduler(aqe.schedules.Constant(0.5)))
    assert not messages


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_loop_of_ones_own():
    """As docs/training.md shows it."""
    import tensorflow as tf

    model = compiled()
    optimizer = keras.optimizers.Adam()
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8).repeat(4)

    @tf.function
    def train_step(x, y):
        with tf.GradientTape() as tape:
            loss = keras.ops.mean((model(x, training=True) - y) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)

    seen = []
    for step, (x, y) in enumerate(data):
        aqe.set_alpha(model, SCHEDULE(step / 20))
        train_step(x, y)
        seen.append(float(find(model)[0].trained_alpha))
    np.testing.assert_allclose(seen, expected(0, 20, 20), rtol=1e-6)
    with pytest.raises(ValueError, match=r"in \(0, 1\]"):
        aqe.set_alpha(model, 0.0)
