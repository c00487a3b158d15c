"""CIFAR as a run sees it, on made-up images, against NumPy."""

import argparse

import numpy as np
import tensorflow as tf

from examples.reproduce import cifar, runs
from tests.examples.reproduce import on_noise

SETTINGS = {
    **runs.DEFAULTS,
    "train_images": 96,
    "test_images": 20,
    "curve_images": 8,
    "batch_size": 16,
    "augment": False,
}


def test_images_are_normalised_by_those_for_training(noise):
    (images, labels), *_, (test_images, test_labels) = on_noise.load_cifar10()
    data = cifar.load(SETTINGS, argparse.Namespace(data_dir=None, images=None))
    assert (data.steps, data.classes) == (96 // 16, 10)
    assert data.image_shape == (32, 32, 3)
    mean, std = images.mean((0, 1, 2)), images.std((0, 1, 2))
    ((found, found_labels),) = data.test.as_numpy_iterator()
    np.testing.assert_allclose(
        found, (test_images[:20] - mean) / std, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(found_labels, test_labels[:20])
    ((found, _),) = data.training_subset.as_numpy_iterator()
    np.testing.assert_allclose(
        found, (images[:8] - mean) / std, rtol=1e-4, atol=1e-5
    )
    # Each training image once an epoch, with its label.
    epoch = data.training(tf.distribute.InputContext()).take(6)
    seen = np.concatenate([y for _, y in epoch.as_numpy_iterator()])
    np.testing.assert_array_equal(np.sort(seen), np.sort(labels))
