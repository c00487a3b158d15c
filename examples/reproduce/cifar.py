"""CIFAR-10 and CIFAR-100, held in memory."""

import numpy as np
import tensorflow as tf

from examples.reproduce import images as image_file
from examples.reproduce.data import RECALIBRATED, Data, shuffled
from keras_aqe import datasets


def load(run, args):
    """Returns the `Data` of a run's settings."""
    training, validation, test = _read(run, args)
    mean = np.mean(training[0], axis=(0, 1, 2)).astype("float32")
    std = np.std(training[0], axis=(0, 1, 2)).astype("float32")

    def normalise(images, labels):
        return (tf.cast(images, tf.float32) - mean) / std, labels

    def whole(images, labels, count):
        data = tf.data.Dataset.from_tensor_slices(
            (images[:count], labels[:count])
        )
        return data.batch(500).map(normalise).prefetch(2)

    count = len(training[0])

    def share(context, steps_done=0):
        seen = steps_done * run["batch_size"]
        data = shuffled(count, run["seed"], context, seen)
        data = data.batch(context.get_per_replica_batch_size(run["batch_size"]))
        data = data.map(
            lambda batch: tuple(tf.gather(part, batch) for part in training)
        )
        if run["augment"]:
            data = data.map(datasets.augment)
        return data.map(normalise).prefetch(2)

    return Data(
        training=share,
        steps=count // run["batch_size"],
        validation=whole(*validation, run["test_images"]),
        test=whole(*test, run["test_images"]),
        training_subset=whole(*training, run["curve_images"]),
        validation_subset=whole(*validation, run["curve_images"]),
        calibration=whole(*training, RECALIBRATED),
        image_shape=training[0].shape[1:],
        classes={"cifar10": 10, "cifar100": 100}[run["dataset"]],
    )


def _read(run, args):
    """`(images, labels)` of training, held-out and test images."""
    if args.images is None:
        return datasets.load_cifar10(
            args.data_dir,
            run["train_images"] or datasets.TRAIN_IMAGES,
            dataset=run["dataset"],
        )
    training, *others = image_file.read(args.images).splits()
    return tuple(part[: run["train_images"]] for part in training), *others
