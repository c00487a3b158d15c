"""What a run needs of a dataset."""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Data:
    """Batches of images, normalised, and labels; what a model must fit.

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
