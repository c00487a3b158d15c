"""Alpha of all quantizers of a model."""

from keras_aqe.callbacks import (
    find,
)
from tests.keras_aqe.callbacks.fitting import nested_model


def test_find_sees_nested_models():
    assert len(find(nested_model())) == 3
