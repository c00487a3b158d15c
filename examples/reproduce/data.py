"""Training, validation and test batches of the paper's datasets."""

import dataclasses

import numpy as np
import tensorflow as tf

from examples import train_cifar10


@dataclasses.dataclass(frozen=True)
class Data:
    """Datasets of `(image, label)` batches, and what a model must fit.

    Args:
        training: Endless, shuffled, augmented batches.
        steps: Batches of `training` in an epoch.
        validation: Held-out images, once.
        test: Test images, once.
        training_subset: Some training images, not augmented, once.
        validation_subset: Some held-out images, once.
        image_shape: Height, width and channels.
        classes: Number of classes.
    """

    training: tf.data.Dataset
    steps: int
    validation: tf.data.Dataset
    test: tf.data.Dataset
    training_subset: tf.data.Dataset
    validation_subset: tf.data.Dataset
    image_shape: tuple
    classes: int


def load(run, data_dir):
    """Returns the `Data` of a run's settings."""
    return _cifar(run, data_dir)


def _cifar(run, data_dir):
    training, validation, test = train_cifar10.load_cifar10(
        data_dir,
        run["train_images"] or train_cifar10.TRAIN_IMAGES,
        dataset=run["dataset"],
    )
    mean = np.mean(training[0], axis=(0, 1, 2)).astype("float32")
    std = np.std(training[0], axis=(0, 1, 2)).astype("float32")

    def normalise(images, labels):
        return (tf.cast(images, tf.float32) - mean) / std, labels

    def whole(images, labels, count=None):
        data = tf.data.Dataset.from_tensor_slices(
            (images[:count], labels[:count])
        )
        return data.batch(500).map(normalise).prefetch(2)

    count = len(training[0])
    batches = tf.data.Dataset.from_tensor_slices(training)
    batches = batches.shuffle(count, seed=run["seed"]).repeat()
    batches = batches.batch(run["batch_size"], drop_remainder=True)
    if run["augment"]:
        batches = batches.map(train_cifar10.augment)
    return Data(
        training=batches.map(normalise).prefetch(2),
        steps=count // run["batch_size"],
        validation=whole(*validation, run["test_images"]),
        test=whole(*test, run["test_images"]),
        training_subset=whole(*training, run["curve_images"]),
        validation_subset=whole(*validation, run["curve_images"]),
        image_shape=training[0].shape[1:],
        classes={"cifar10": 10, "cifar100": 100}[run["dataset"]],
    )
