import hypothesis
import keras
import pytest
import tensorflow as tf

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
