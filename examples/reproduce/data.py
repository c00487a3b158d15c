"""What a run needs of a dataset."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

# Training images that batch normalisation is recalibrated on, at most.
RECALIBRATED = 20_000


@dataclasses.dataclass(frozen=True)
class Data:
    """Batches of images, normalised, and labels; what a model must fit.

    Args:
        training: A function from a `tf.distribute.InputContext` and the number
            of steps that were done before to endless, shuffled, augmented
            batches: this worker's share of each batch of the run, for one
            replica at a time.
        steps: Batches of the run in an epoch.
        validation: Held-out images, once.
        test: Test images, once.
        training_subset: Some training images, not augmented, once.
        validation_subset: Some held-out images, once.
        calibration: Training images, not augmented, for `recalibrate`.
        image_shape: Height, width and channels.
        classes: Number of classes.
    """

    training: Callable[[tf.distribute.InputContext, int], tf.data.Dataset]
    steps: int
    validation: tf.data.Dataset
    test: tf.data.Dataset
    training_subset: tf.data.Dataset
    validation_subset: tf.data.Dataset
    calibration: tf.data.Dataset
    image_shape: tuple
    classes: int


def shuffled(count, seed, context, seen=0):
    """Returns a worker's share of 0 to `count - 1`, endless, shuffled.

    Each epoch has a seed of its own, so that all workers shuffle alike, and so
    does whoever iterates again or goes on after the first `seen` indices. A
    worker takes every n-th index, so that a batch has the same images however
    many share it.
    """
    indices = tf.data.Dataset.counter(seen // count).flat_map(
        lambda epoch: tf.data.Dataset.from_tensor_slices(
            tf.random.experimental.stateless_shuffle(
                tf.range(count), [seed, epoch]
            )
        )
    )
    return indices.skip(seen % count).shard(
        context.num_input_pipelines, context.input_pipeline_id
    )
