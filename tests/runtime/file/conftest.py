"""Files that several modules here look at."""

import keras
import pytest

from keras_aqe import layers
from keras_aqe.converters import convert


@pytest.fixture(scope="session")
def data():
    """A packed file whose description has something of each kind."""
    inputs = keras.Input((6,))
    x = layers.QuantDense(3, kernel_quantizer="binary", name="[b]")(inputs)
    x = layers.QuantActivation("ternary")(x)
    return convert(keras.Model({"x": inputs}, {"y": x})).flatbuffer
