import keras
import numpy as np
import pytest

from keras_aqe.constraints import WeightClip


@pytest.mark.parametrize("limit", [0.5, 1.0, 2.0])
def test_clip(limit):
    w = np.random.normal(size=(5, 4)).astype("float32") * 3
    np.testing.assert_array_equal(
        WeightClip(limit)(w), np.clip(w, -limit, limit)
    )


def test_config_round_trip():
    config = keras.saving.serialize_keras_object(WeightClip(0.25))
    assert keras.saving.deserialize_keras_object(config).limit == 0.25


@pytest.mark.parametrize("limit", [0, -1.0])
def test_bad_limit(limit):
    with pytest.raises(ValueError, match=f"`limit`.*limit={limit}"):
        WeightClip(limit)
