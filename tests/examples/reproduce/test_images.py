"""The compact file, against TensorFlow's decoder."""

import numpy as np
import pytest
import tensorflow as tf

from examples.reproduce import images

SIZES = (5, 2, 3)


def pictures():
    """Smooth images: JPEG is made for them."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (sum(SIZES), 4, 4, 3)).astype("float32")
    large = tf.image.resize(small, (32, 32), "bicubic").numpy()
    return np.clip(large, 0, 255).astype("uint8")


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_pixels_are_those_of_tensorflow(tmp_path, kind):
    encode = {"jpeg": tf.io.encode_jpeg, "png": tf.io.encode_png}[kind]
    encoded = [encode(image).numpy() for image in pictures()]
    labels = np.arange(len(encoded))
    path = tmp_path / "images.npz"
    images.write(path, encoded, labels, SIZES, 10)
    found = images.read(path)
    expected = [
        # The default is a faster, rougher transform.
        tf.io.decode_jpeg(image, dct_method="INTEGER_ACCURATE")
        if kind == "jpeg"
        else tf.io.decode_png(image)
        for image in encoded
    ]
    np.testing.assert_array_equal(found.pixels, np.stack(expected))
    assert (found.sizes, found.classes) == (SIZES, 10)
    ends = np.cumsum(SIZES)
    for (_, part), expected in zip(
        found.splits(), np.split(labels, ends[:-1]), strict=True
    ):
        np.testing.assert_array_equal(part, expected)


def test_several_processes_read_what_one_does(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "_IMAGES_A_TASK", 6)
    encoded = [tf.io.encode_png(image).numpy() for image in pictures()]
    path = tmp_path / "images.npz"
    images.write(path, encoded, np.zeros(len(encoded)), SIZES, 10)
    one, two = images.read(path, processes=1), images.read(path, processes=2)
    np.testing.assert_array_equal(one.pixels, two.pixels)


def test_the_file_has_to_be_named_as_numpy_does(capsys):
    with pytest.raises(SystemExit):
        images.main(["cifar10", "images.bin"])
    assert ".npz" in capsys.readouterr().err


@pytest.mark.parametrize("count", [2, 9])
def test_the_first_test_images_alone(tmp_path, monkeypatch, count):
    encoded = [tf.io.encode_png(image).numpy() for image in pictures()]
    found = encoded, list(range(10)), SIZES, 10
    monkeypatch.setattr(images, "from_tfds", lambda *args: found)
    path = tmp_path / "images.npz"
    images.main(["cifar10", str(path), "--only-test", str(count)])
    *others, (pixels, labels) = images.read(path).splits()
    assert [len(part) for part, _ in others] == [0, 0]
    first = sum(SIZES[:-1])
    np.testing.assert_array_equal(pixels, pictures()[first:][:count])
    np.testing.assert_array_equal(labels, np.arange(10)[first:][:count])
