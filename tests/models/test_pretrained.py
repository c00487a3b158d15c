import importlib.resources

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe.models import pretrained


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two trained networks in place of those of the package."""
    for bits in (1, 2):
        model = aqe.models.MINWNet("D", bits, bits, filters=2, dense_units=4)
        path = tmp_path / f"minw-tiny-{bits}-{bits}.keras"
        model.save(path, include_optimizer=False)
    (tmp_path / "README.md").write_text("The model card.")
    monkeypatch.setattr(pretrained, "_folder", lambda: tmp_path)
    return tmp_path


def test_load(folder):
    model = aqe.models.load_pretrained("minw-tiny-2-2")
    expected = keras.models.load_model(folder / "minw-tiny-2-2.keras")
    x = np.random.normal(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(model(x), expected(x))
    assert model.get_layer("conv1").kernel_quantizer.bits == 2


@pytest.mark.parametrize("name", ["minw-tiny-3-3", "README.md", "", "../x"])
def test_unknown_name(folder, name):
    with pytest.raises(ValueError, match="minw-tiny-1-1, minw-tiny-2-2"):
        aqe.models.load_pretrained(name)


def test_folder_is_installed():
    files = importlib.resources.files("keras_aqe.pretrained")
    assert (files / "README.md").is_file()
