"""Images that `keras-aqe train` and the experiments learn from."""

import contextlib

import numpy as np

HELD_OUT = 5_000
TRAIN_IMAGES = 50_000 - HELD_OUT


def digits(size=32):
    """Scans of handwritten digits that scikit-learn ships.

    Args:
        size: Height and width of the images, in pixels, made of 8 by 8.

    Returns:
        Images and labels to train on, and a fifth of each class held out. The
        images are floats in [-1, 1].

    Raises:
        ImportError: If scikit-learn is not installed.
    """
    import keras

    with _extra("scikit-learn"):
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

    data = load_digits()
    images = keras.ops.image.resize(data.images[..., np.newaxis], (size, size))
    images = keras.ops.convert_to_numpy(images).astype("float32") / 8.0 - 1.0
    x_train, x_test, y_train, y_test = train_test_split(
        images, data.target, test_size=0.2, stratify=data.target, random_state=0
    )
    return (x_train, y_train), (x_test, y_test)


def load_cifar10(data_dir=None, train_images=TRAIN_IMAGES, dataset="cifar10"):
    """CIFAR-10 or CIFAR-100, through tensorflow-datasets.

    Args:
        data_dir: Folder of tensorflow-datasets, which downloads at the first
            time. `None` means its own.
        train_images: Number of images to train on.
        dataset: `"cifar10"` or `"cifar100"`.

    Returns:
        (images, labels) to train on, of the last 5,000 of the training images
        for validation, and to test on. The images are of uint8.

    Raises:
        ImportError: If tensorflow-datasets is not installed.
    """
    with _extra("tensorflow-datasets"):
        import tensorflow_datasets as tfds

    return tfds.as_numpy(
        tfds.load(
            dataset,
            split=[
                f"train[:{train_images}]",
                f"train[{TRAIN_IMAGES}:]",
                "test",
            ],
            data_dir=data_dir,
            as_supervised=True,
            batch_size=-1,
        )
    )


def augment(images, labels):
    """Crops each image at random after padding by 4, and flips every other.

    Args:
        images: A batch, a TensorFlow tensor.
        labels: Its labels, which stay as they are.
    """
    import tensorflow as tf

    batch, size = tf.shape(images)[0], images.shape[1]
    padded = tf.pad(images, [[0, 0], [4, 4], [4, 4], [0, 0]])
    # A crop and a flip only choose rows and columns: two gathers a batch.
    pixels = tf.range(size)[tf.newaxis]
    offsets = tf.random.uniform([2, batch, 1], 0, 9, tf.int32)
    flip = tf.random.uniform([batch, 1]) < 0.5
    rows = offsets[0] + pixels
    columns = offsets[1] + tf.where(flip, size - 1 - pixels, pixels)
    padded = tf.gather(padded, rows, axis=1, batch_dims=1)
    return tf.gather(padded, columns, axis=2, batch_dims=1), labels


@contextlib.contextmanager
def _extra(package):
    """Says how to install what only the data need."""
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"These images come with {package}, which is not installed "
            f"({error}): pip install 'keras-aqe[examples]'"
        ) from error
