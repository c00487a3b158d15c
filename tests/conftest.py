"""The fixtures of more than one room, and what holds for all tests.

Keras and TensorFlow are imported where they are used: the process of
pytest-xdist that starts the others loads this file, too, and uses neither.
"""

import functools
import gc
import importlib.metadata
import importlib.util
import os

import hypothesis
import pytest

# Tests that run packed files.
NATIVE = ("tests/runtime/", "tests/converters/targets/packed/")

hypothesis.settings.register_profile(
    "keras_aqe",
    # JAX compiles for each shape.
    max_examples=3 if os.environ.get("KERAS_BACKEND") == "jax" else 10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[
        hypothesis.HealthCheck.function_scoped_fixture,
        hypothesis.HealthCheck.too_slow,
    ],
)
hypothesis.settings.load_profile("keras_aqe")


def pytest_collectstart():
    """Before modules of tests are imported, which may start TensorFlow."""
    if importlib.util.find_spec("tensorflow") is not None:
        make_two_devices()


@functools.cache
def make_two_devices():
    """Two replicas for the tests of strategies."""
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 2,
    )


def pytest_collection_modifyitems(items):
    """Without the library, which needs a compiler, there is nothing to run."""
    from keras_aqe import runtime

    try:
        runtime.library_path()
    except RuntimeError as error:
        for item in items:
            if item.nodeid.startswith(NATIVE):
                item.add_marker(pytest.mark.skip(reason=str(error)))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call():
    """Beside NumPy 2 there is no interpreter of LCE, and its files rest."""
    from keras_aqe_runtime.errors import EngineMissingError

    try:
        return (yield)
    except EngineMissingError as error:
        if larq_runs() or "Larq" not in str(error):
            raise
        pytest.skip(str(error))


def larq_runs():
    """Whether Larq Compute Engine's interpreter can be had here."""
    is_there = importlib.util.find_spec("larq_compute_engine") is not None
    return is_there and importlib.metadata.version("numpy").startswith("1.")


def pytest_collection_finish():
    """What was imported stays: no collection of garbage looks at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def mirrored():
    """The process's one mirrored strategy: two count their sums alike."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(autouse=True)
def seeded():
    """Fixed random state for each test."""
    import keras

    keras.utils.set_random_seed(2020)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def minw_files():
    """A small MINW-Net as a file of each target."""
    from keras_aqe import converters, models
    from tests.converters.networks import TARGETS
    from tests.randomised import randomise

    model = randomise(models.MINWNet(filters=4, dense_units=8))
    return {target: converters.convert(model, target) for target in TARGETS}


@pytest.fixture(params=["lce", "packed", "tflite"])
def minw_file(minw_files, request):
    """Each of these files, one after the other."""
    return minw_files[request.param]


@pytest.fixture(scope="session", params=["packed", "lce", "tflite"])
def converted(request):
    """`two_inputs` for each target."""
    from keras_aqe.converters import convert
    from tests.converters.two_inputs import two_inputs

    return convert(two_inputs(), request.param)


@pytest.fixture
def eager():
    """No graphs, which take longer than a few steps."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def few_weights(monkeypatch):
    """MINW-Nets of fewer weights than documents train."""
    from keras_aqe import models

    original, few = models.MINWNet, {"filters": 4, "dense_units": 8}
    monkeypatch.setattr(
        models,
        "MINWNet",
        lambda *args, **kwargs: original(*args, **{**kwargs, **few}),
    )


@pytest.fixture
def few_layers(monkeypatch):
    """Stands in for MobileNetV2, with some of its layers."""
    import keras

    K = keras.layers

    def mobile(input_shape, classes, classifier_activation="softmax", **_):
        x = inputs = keras.Input(input_shape)
        for name in ("Conv1", "block_1_expand", "block_16_expand"):
            x = K.Conv2D(4, 3, 2, "same", use_bias=False, name=name)(x)
            x = K.ReLU(6.0)(K.BatchNormalization()(x))
            x = K.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
            x = K.ReLU(6.0)(K.BatchNormalization()(x))
        x = K.GlobalAveragePooling2D()(x)
        outputs = K.Dense(classes, activation=classifier_activation)(x)
        return keras.Model(inputs, outputs)

    monkeypatch.setattr(keras.applications, "MobileNetV2", mobile)


@pytest.fixture
def noise(monkeypatch, eager):
    """Made-up images, and a network of one layer to train on them."""
    import keras_aqe as aqe
    from keras_aqe import datasets
    from tests.examples.reproduce import on_noise

    monkeypatch.setattr(datasets, "load_cifar10", on_noise.load_cifar10)
    monkeypatch.setattr(aqe.models, "Small", on_noise.Small, raising=False)
