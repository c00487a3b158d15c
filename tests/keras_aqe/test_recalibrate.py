import inspect

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe import converters
from keras_aqe.callbacks import find

ARGUMENTS = inspect.signature(keras.layers.BatchNormalization).parameters


def block(units, **kwargs):
    return [
        aqe.layers.QuantDense(units, kernel_quantizer="binary", use_bias=False),
        keras.layers.BatchNormalization(**kwargs),
    ]


def activation(quantizer="binary"):
    return [aqe.layers.HardTanh(), aqe.layers.QuantActivation(quantizer)]


def network(**kwargs):
    return keras.Sequential(
        [
            keras.Input((6,)),
            *block(8, **kwargs),
            *activation(),
            keras.layers.Dropout(0.5),
            *block(4, **kwargs),
        ]
    )


def data(examples=96):
    return np.random.RandomState(0).normal(size=(examples, 6)).astype("float32")


def randomised(model):
    random = np.random.RandomState(1)
    for weight in model.weights:
        if weight.path.endswith("alpha"):
            weight.assign(0.5)
        else:
            weight.assign(random.uniform(-1, 1, weight.shape))
    return model


def expected(model, x, batch):
    """Pooled statistics of each layer, with NumPy, batch by batch."""
    dense1, bn1, _, _, _, dense2, bn2 = model.layers
    seen = [[], []]
    for start in range(0, len(x), batch):
        values = x[start : start + batch]
        for index, (dense, bn) in enumerate([(dense1, bn1), (dense2, bn2)]):
            kernel = np.where(np.asarray(dense.kernel) >= 0, 1.0, -1.0)
            values = values @ kernel
            seen[index].append(values)
            values = (values - values.mean(0)) / np.sqrt(
                values.var(0) + bn.epsilon
            )
            if bn.scale:
                values = values * np.asarray(bn.gamma)
            if bn.center:
                values = values + np.asarray(bn.beta)
            values = np.where(values >= 0, 1.0, -1.0)
    return [np.concatenate(values) for values in seen]


@pytest.mark.slow
@pytest.mark.parametrize(
    "batch, options",
    [
        (96, {}),
        (32, {}),
        (40, {}),
        (40, {"scale": False}),
        (40, {"center": False}),
        # Keras 3.13 has no renorm.
        *[(40, {"renorm": True})] * ("renorm" in ARGUMENTS),
    ],
)
def test_statistics_are_those_of_all_examples(batch, options):
    model = randomised(network(**options))
    x = data()
    pooled = expected(model, x, batch)
    aqe.recalibrate(model, x, batch_size=batch)
    for layer, values in zip((model.layers[1], model.layers[6]), pooled):
        np.testing.assert_allclose(
            layer.moving_mean, values.mean(0), rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(
            layer.moving_variance, values.var(0), rtol=1e-4
        )


def test_nothing_else_changes():
    model = randomised(network())
    before = {weight.path: weight.numpy() for weight in model.weights}
    aqe.recalibrate(model, data())
    for weight in model.weights:
        if weight.path.endswith("alpha"):
            assert weight.numpy() == 1.0
        elif "moving_" in weight.path:
            assert (weight.numpy() != before[weight.path]).all()
        else:
            np.testing.assert_array_equal(weight.numpy(), before[weight.path])
    assert len(model.layers[0]._inbound_nodes) == 1


def test_one_batch_gives_the_outputs_of_training_mode():
    """Stochastic quantizers and dropout stay in inference mode."""
    inputs = keras.Input((6, 5, 2))
    x = aqe.layers.QuantConv2D(
        3, 3, kernel_quantizer=aqe.quantizers.Ternary(stochastic=True)
    )(inputs)
    x = keras.layers.BatchNormalization(axis=-1)(x)
    model = keras.Model(inputs, keras.layers.Dropout(0.5)(x))
    images = np.random.normal(size=(7, 6, 5, 2)).astype("float32")
    aqe.recalibrate(model, images)
    outputs = np.asarray(model(images))
    np.testing.assert_allclose(outputs.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(outputs.std((0, 1, 2)), 1, atol=1e-2)


def two_inputs():
    inner = network()
    left, right = (
        keras.Input((6,), name="left"),
        keras.Input((3,), name="right"),
    )
    # The nested model is used twice.
    x = keras.layers.Add()([inner(left), inner(keras.ops.tile(right, (1, 2)))])
    x = keras.layers.BatchNormalization(name="outer")(x)
    return randomised(keras.Model([left, right], x))


@pytest.fixture(scope="module")
def weights_from_arrays():
    model, x = two_inputs(), data()
    aqe.recalibrate(model, [x, x[:, :3]], batch_size=32)
    return model.get_weights()


@pytest.mark.slow
def test_nested_models_and_several_inputs():
    left, right = data(), data()[:, :3]
    model = two_inputs()
    aqe.recalibrate(model, [left, right], batch_size=96)
    inner = next(x for x in model.layers if isinstance(x, keras.Sequential))
    kernel = np.where(np.asarray(inner.layers[0].kernel) >= 0, 1.0, -1.0)
    both = np.concatenate([left, np.tile(right, (1, 2))]) @ kernel
    np.testing.assert_allclose(
        inner.layers[1].moving_variance, both.var(0), rtol=1e-4
    )
    outer = model.get_layer("outer")
    assert (outer.moving_variance.numpy() > 0).all()


def sliced(examples):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(examples)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda x: {"data": {"left": x, "right": x[:, :3]}, "batch_size": 32},
        lambda x: {
            "data": [keras.ops.convert_to_tensor(x), x[:, :3]],
            "batch_size": 32,
        },
        lambda x: {
            "data": (
                ({"left": part, "right": part[:, :3]}, np.zeros(32))
                for part in np.split(x, 3)
            )
        },
        pytest.param(
            lambda x: {"data": sliced(((x, x[:, :3]), np.zeros(96))).batch(32)},
            marks=pytest.mark.tensorflow,
        ),
        pytest.param(
            lambda x: {
                "data": sliced({"left": x, "right": x[:, :3]})
                .repeat()
                .batch(32),
                "steps": 3,
            },
            marks=pytest.mark.tensorflow,
        ),
    ],
    ids=[
        "dict",
        "tensors",
        "generator with targets",
        "dataset with targets",
        "endless dataset",
    ],
)
def test_kinds_of_data(make, weights_from_arrays):
    model = two_inputs()
    aqe.recalibrate(model, **make(data()))
    for one, other in zip(weights_from_arrays, model.get_weights()):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.slow
def test_masked_steps_do_not_count():
    inputs = keras.Input((4, 2))
    x = keras.layers.Masking()(inputs)
    x = keras.layers.BatchNormalization()(x)
    model = keras.Model(inputs, x)
    values = np.random.normal(size=(8, 4, 2)).astype("float32")
    values[:, 3] = 0
    aqe.recalibrate(model, values, batch_size=3)
    seen = values[:, :3].reshape(-1, 2)
    np.testing.assert_allclose(
        model.layers[-1].moving_variance, seen.var(0), rtol=1e-4
    )


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_run_that_stopped_at_one_half(tmp_path):
    """Poor once hard, good after recalibration, and then it converts."""
    datasets = pytest.importorskip("sklearn.datasets")
    images, labels = datasets.load_digits(return_X_y=True)
    images = (images / 8 - 1).astype("float32").reshape(-1, 8, 8, 1)
    train, test = slice(0, 1400), slice(1400, None)

    inputs = keras.Input((8, 8, 1))
    x = inputs
    for _ in range(2):
        x = aqe.layers.QuantConv2D(
            16, 3, padding="same", use_bias=False, kernel_quantizer="binary"
        )(x)
        x = keras.layers.MaxPooling2D(2)(x)
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = aqe.layers.HardTanh()(x)
        x = aqe.layers.QuantActivation("binary")(x)
    x = keras.layers.Flatten()(x)
    x = aqe.layers.QuantDense(10, use_bias=False, kernel_quantizer="binary")(x)
    model = keras.Model(inputs, keras.layers.BatchNormalization()(x))
    model.compile(
        keras.optimizers.Adam(5e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    half = aqe.callbacks.AlphaScheduler(aqe.schedules.Constant(0.5))
    model.fit(
        images[train],
        labels[train],
        batch_size=50,
        epochs=6,
        verbose=0,
        callbacks=[half],
    )
    with pytest.raises(converters.ConversionError, match="recalibrate"):
        converters.convert(model, target="tflite")
    _, poor = model.evaluate(images[test], labels[test], verbose=0)
    aqe.recalibrate(model, images[train], batch_size=350)
    _, good = model.evaluate(images[test], labels[test], verbose=0)
    assert 1 - good < (1 - poor) / 2
    assert good > 0.75
    converted = converters.convert(model, target="tflite")
    assert converters.verify(model, converted, images[test]).labels_equal
    # Alpha is saved, so the file of the model converts as well.
    model.save(tmp_path / "model.keras")
    converters.convert(
        keras.models.load_model(tmp_path / "model.keras"), "tflite"
    )


class Hiding(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = keras.layers.BatchNormalization(name="inner")

    def call(self, inputs):
        return self.inner(inputs)


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: keras.Sequential([keras.layers.Dense(2)]), "built"),
        (Subclassed, "Subclassed"),
        (
            lambda: keras.Sequential(
                [keras.Input((6,)), keras.layers.Dense(2)]
            ),
            "no batch normalisation",
        ),
        (
            lambda: keras.Sequential(
                [
                    keras.Input((6,)),
                    keras.layers.BatchNormalization(),
                    Hiding(),
                ]
            ),
            "'inner' is hidden",
        ),
    ],
)
def test_models_that_cannot_be_recalibrated(make, message):
    with pytest.raises(ValueError, match=message):
        aqe.recalibrate(make(), data())


def test_values_that_are_not_finite_leave_the_model_as_it_was():
    model = randomised(network())
    before = model.get_weights()
    x = data()
    x[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        aqe.recalibrate(model, x)
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(new, old)


@pytest.mark.slow
def test_alpha_is_one_everywhere():
    model = two_inputs()
    aqe.recalibrate(model, [data(), data()[:, :3]])
    assert {float(quantizer.alpha) for quantizer in find(model)} == {1.0}
