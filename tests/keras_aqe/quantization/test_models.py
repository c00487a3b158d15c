"""`set_weights` of float models on twins, whatever became of these."""

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe.quantization.models import QuantizedModel, QuantizedSequential
from tests.keras_aqe.quantization.networks import dense, images, straight

CLASSES = {dense: QuantizedModel, straight: QuantizedSequential}


def saved(suffix):
    def load(twin, folder):
        twin.save(folder / f"twin{suffix}")
        return keras.models.load_model(folder / f"twin{suffix}")

    return load


WAYS = {
    "as made": lambda twin, folder: twin,
    "keras": saved(".keras"),
    "h5": saved(".h5"),
}


def assert_equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("build", [dense, straight])
def test_takes_the_float_models_weights(build, way, tmp_path):
    model = build()
    twin = aqe.quantize_model(model, 2, 2)
    for quantizer in aqe.callbacks.find(twin):
        quantizer.trained_alpha.assign(0.5)
    twin = WAYS[way](twin, tmp_path)
    assert type(twin) is CLASSES[build]
    other = [np.random.normal(size=w.shape) for w in model.get_weights()]
    twin.set_weights(other)
    model.set_weights(other)
    ours = [w for w in twin.weights if "alpha" not in w.name]
    assert_equal(ours, model.get_weights())
    assert {float(q.trained_alpha) for q in aqe.callbacks.find(twin)} == {0.5}
    # Its own lists are taken as ever, alphas too.
    whole = [np.full(w.shape, 0.25, "float32") for w in twin.weights]
    twin.set_weights(whole)
    assert_equal(twin.get_weights(), whole)
    twin.save_weights(tmp_path / "twin.weights.h5")
    again = aqe.quantize_model(model, 2, 2)
    again.load_weights(tmp_path / "twin.weights.h5")
    assert_equal(again.get_weights(), whole)


def test_a_layer_takes_the_keras_layers_weights():
    model = straight()
    twin = aqe.quantize_model(model, 2, 2)
    for name in ("conv", "dense"):
        layer = model.get_layer(name)
        other = [np.random.normal(size=w.shape) for w in layer.get_weights()]
        layer.set_weights(other)
        twin.get_layer(name).set_weights(layer.get_weights())
        assert_equal(twin.get_layer(name).get_weights()[:2], layer.weights)


def test_other_lists_are_refused():
    twin = aqe.quantize_model(straight(), 2, 2)
    with pytest.raises(ValueError, match="weight list of length 3"):
        twin.set_weights(straight().get_weights()[:3])
    with pytest.raises(ValueError, match="shape"):
        twin.set_weights([w.T for w in straight().get_weights()])


def test_a_twin_is_a_model_like_others():
    twin = aqe.quantize_model(straight(), 2, 2)
    copy = aqe.to_float32(twin)
    x = images(twin)
    np.testing.assert_array_equal(copy(x), twin(x))
