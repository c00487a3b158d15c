"""The fixtures of more than one room, and what holds for all tests."""

import hypothesis
import keras
import pytest
import tensorflow as tf

from keras_aqe import runtime

# Tests that run packed files.
NATIVE = ("tests/runtime/", "tests/converters/targets/packed/")

# Two replicas for the tests of strategies; only possible before TensorFlow
# starts its devices.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)

hypothesis.settings.register_profile(
    "keras_aqe",
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[
        hypothesis.HealthCheck.function_scoped_fixture,
        hypothesis.HealthCheck.too_slow,
    ],
)
hypothesis.settings.load_profile("keras_aqe")


def pytest_collection_modifyitems(items):
    """Without the library, which needs a compiler, there is nothing to run."""
    try:
        runtime.library_path()
    except RuntimeError as error:
        for item in items:
            if item.nodeid.startswith(NATIVE):
                item.add_marker(pytest.mark.skip(reason=str(error)))


@pytest.fixture(scope="session")
def mirrored():
    """The process's one mirrored strategy: two count their sums alike."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(autouse=True)
def seeded():
    """Fixed random state for each test."""
    keras.utils.set_random_seed(2020)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def minw_files():
    """A small MINW-Net as a file of each target."""
    from keras_aqe import converters, models
    from tests.converters.networks import TARGETS, randomise

    model = randomise(models.MINWNet(filters=4, dense_units=8))
    return {target: converters.convert(model, target) for target in TARGETS}


@pytest.fixture(params=["lce", "packed", "tflite"])
def minw_file(minw_files, request):
    """Each of these files, one after the other."""
    return minw_files[request.param]


@pytest.fixture
def noise(monkeypatch):
    """Made-up images, and no graphs, which take longer than two steps."""
    import keras_aqe as aqe
    from keras_aqe import datasets
    from tests.examples.reproduce import on_noise

    monkeypatch.setattr(datasets, "load_cifar10", on_noise.load_cifar10)
    monkeypatch.setattr(aqe.models, "Small", on_noise.Small, raising=False)
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
