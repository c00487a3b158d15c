"""Images that commands and experiments learn from."""

import sys

import keras
import numpy as np
import pytest

from keras_aqe import datasets


@pytest.mark.parametrize("size", [{}, {"size": 16}])
def test_digits_are_whole(size):
    (x, y), (x_test, y_test) = datasets.digits(**size)
    side = size.get("size", 32)
    assert len(x) + len(x_test) == 1797
    assert x.shape[1:] == x_test.shape[1:] == (side, side, 1)
    assert (x.min(), x.max()) == (-1, 1)
    assert np.abs(x_test).max() <= 1
    assert set(y) == set(y_test) == set(range(10))
    share = np.bincount(y_test) / (np.bincount(y) + np.bincount(y_test))
    np.testing.assert_allclose(share, 0.2, atol=0.01)


def test_augmentation_only_crops_and_flips():
    images = np.arange(1, 1 + 64 * 32 * 32 * 3, dtype="int32")
    images = images.reshape(64, 32, 32, 3)
    keras.utils.set_random_seed(0)
    augmented, _ = datasets.augment(images, np.zeros(64))
    flips = set()
    for image, result in zip(images, augmented.numpy()):
        padded = np.pad(image, ((4, 4), (4, 4), (0, 0)))
        crops = {
            (row, column, flip): padded[row : row + 32, column : column + 32][
                :, ::flip
            ]
            for row in range(9)
            for column in range(9)
            for flip in (1, -1)
        }
        matches = [
            key for key, crop in crops.items() if np.array_equal(crop, result)
        ]
        assert len(matches) == 1
        flips.add(matches[0][2])
    assert flips == {1, -1}


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_datasets_can_be_downloaded(tmp_path, name):
    """All that a download imports is installed."""
    tfds = pytest.importorskip("tensorflow_datasets")
    assert tfds.builder(name, data_dir=tmp_path).url_infos


@pytest.mark.parametrize(
    "load, module",
    [
        (datasets.digits, "sklearn.datasets"),
        (datasets.load_cifar10, "tensorflow_datasets"),
    ],
)
def test_says_what_is_not_installed(load, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match="keras-aqe.examples"):
        load()
