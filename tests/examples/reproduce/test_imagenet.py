"""ImageNet input, on folders of images made here."""

import argparse
import itertools

import numpy as np
import pytest
import tensorflow as tf

from examples.reproduce import imagenet, runs


def make_folder(folder, classes, count):
    """Writes `count` JPEG images to each of `train` and `val`."""
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for index in range(count):
            path = folder / part / f"class{index % classes}" / f"{index}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            height, width = rng.integers(40, 90, 2)
            # One brightness an image, by which it can be told again.
            image = np.full((height, width, 3), index % 256, "uint8")
            path.write_bytes(tf.io.encode_jpeg(image, quality=100).numpy())


def make_tfds(data_dir, shards):
    """Writes imagenet2012 as tensorflow-datasets does, with few images.

    `shards` is the number of images in each file of a part.
    """
    tfds = pytest.importorskip("tensorflow_datasets")
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(num_classes=1000),
            "file_name": tfds.features.Text(),
        }
    )
    version = tfds.builder_cls("imagenet2012").VERSION
    folder = data_dir / "imagenet2012" / str(version)
    folder.mkdir(parents=True)
    splits = []
    for part, counts in shards.items():
        index = 0
        for shard, count in enumerate(counts):
            suffix = f"tfrecord-{shard:05}-of-{len(counts):05}"
            path = folder / f"imagenet2012-{part}.{suffix}"
            with tf.io.TFRecordWriter(str(path)) as file:
                for _ in range(count):
                    example = {
                        "image": np.full((50, 60, 3), index, "uint8"),
                        "label": index % 5,
                        "file_name": f"{index}.JPEG",
                    }
                    example = features.encode_example(example)
                    file.write(features.serialize_example(example))
                    index += 1
        splits.append(
            tfds.core.SplitInfo(
                name=part,
                shard_lengths=counts,
                num_bytes=0,
                filename_template=None,
            )
        )
    tfds.folder_dataset.write_metadata(
        data_dir=str(folder),
        features=features,
        split_infos=splits,
        filename_template="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
    )


def load(folder, data_dir=None, **settings):
    run = {**runs.DEFAULTS, "dataset": "imagenet", **settings}
    return imagenet.load(
        run, argparse.Namespace(image_folder=folder, data_dir=data_dir)
    )


def brightness(images):
    """The grey value of each image before it was normalised."""
    pixels = np.array(images) * imagenet.STD + imagenet.MEAN
    assert np.ptp(pixels, axis=(1, 2)).max() < 1e-3
    return np.round(pixels.mean(axis=(1, 2, 3))).astype(int)


@pytest.mark.slow
def test_folder(tmp_path):
    make_folder(tmp_path, classes=5, count=200)
    data = load(tmp_path, image_size=32, batch_size=16, curve_images=20)
    assert (data.classes, data.image_shape) == (5, (32, 32, 3))
    assert data.steps == 198 // 16

    test = [(x, y) for x, y in data.test.as_numpy_iterator()]
    seen = np.concatenate([brightness(x) for x, _ in test])
    np.testing.assert_array_equal(np.sort(seen), np.arange(200))
    labels = np.concatenate([y for _, y in test])
    np.testing.assert_array_equal(labels, seen % 5)

    held_out = [brightness(x) for x, _ in data.validation.as_numpy_iterator()]
    batches = data.training(tf.distribute.InputContext())
    batches = list(batches.take(2 * 198 // 16).as_numpy_iterator())
    assert {x.shape for x, _ in batches} == {(16, 32, 32, 3)}
    trained = np.concatenate([brightness(x) for x, _ in batches])
    np.testing.assert_array_equal(
        np.concatenate([y for _, y in batches]), trained % 5
    )
    # Each epoch has every image that is not held out, in an order of its own.
    expected = np.setdiff1d(np.arange(200), np.concatenate(held_out))
    np.testing.assert_array_equal(np.sort(trained[:198]), expected)
    assert np.any(trained[:100] != trained[198:298])


@pytest.mark.slow
def test_tensorflow_datasets(tmp_path):
    make_tfds(tmp_path, {"train": [30, 30, 40], "validation": [20]})
    data = load(None, tmp_path, image_size=32, batch_size=11, curve_images=4)
    assert (data.classes, data.steps) == (1000, 9)
    test = np.concatenate([brightness(x) for x, _ in data.test])
    np.testing.assert_array_equal(test, np.arange(20))
    (held_out,) = [brightness(x) for x, _ in data.validation]
    trained, labels = [], []
    # Two workers have files of their own, together all but the held-out.
    for index in range(2):
        context = tf.distribute.InputContext(2, index, 1)
        for x, y in data.training(context).take(20):
            trained.append(brightness(x))
            labels.append(y)
    trained = np.concatenate(trained)
    np.testing.assert_array_equal(np.concatenate(labels), trained % 5)
    assert set(trained) == set(range(100)) - set(held_out)


@pytest.mark.slow
def test_workers_share_a_batch(tmp_path):
    make_folder(tmp_path, classes=2, count=40)
    data = load(tmp_path, image_size=32, batch_size=8)

    def first(count, index):
        context = tf.distribute.InputContext(count, index, count)
        images, _ = next(iter(data.training(context)))
        return brightness(images)

    shares = [first(2, index) for index in range(2)]
    assert [len(share) for share in shares] == [4, 4]
    assert set(np.concatenate(shares)) == set(first(1, 0))


@pytest.mark.parametrize("encode", [tf.io.encode_png, tf.io.encode_jpeg])
@pytest.mark.parametrize("shape", [(256, 256), (256, 300), (512, 700)])
def test_centre_crop(encode, shape):
    # Brightness rises along both axes, so that a shift would show.
    rows, columns = np.meshgrid(*map(np.arange, shape), indexing="ij")
    image = np.stack([rows, columns, rows * 0], -1) * 255 / max(shape)
    image = np.round(image).astype("uint8")
    found = imagenet.crop(encode(image), 224, augment=False).numpy()

    whole = min(shape)
    top, left = (shape[0] - whole) // 2, (shape[1] - whole) // 2
    square = image[top : top + whole, left : left + whole].astype(float)
    step = whole // 256
    means = square.reshape(256, step, 256, step, 3).mean((1, 3))
    np.testing.assert_allclose(found, means[16:240, 16:240], atol=3)


@pytest.mark.slow
def test_random_crops_reach_every_corner_and_both_directions(monkeypatch):
    # Few corners, which few crops reach.
    monkeypatch.setattr(imagenet, "CROP", 14)
    monkeypatch.setattr(imagenet, "WHOLE", 16)
    rows, columns = np.meshgrid(np.arange(16), np.arange(16), indexing="ij")
    image = np.stack([rows, columns, rows * 0], -1).astype("uint8")
    contents = tf.io.encode_png(image)
    tf.random.set_seed(0)
    crops = [imagenet.crop(contents, 14, True).numpy() for _ in range(60)]
    corners, flips = set(), set()
    for crop in crops:
        crop = crop.astype(int)
        flipped = crop[0, 0, 1] > crop[0, -1, 1]
        crop = crop[:, ::-1] if flipped else crop
        top, left = crop[0, 0, :2]
        np.testing.assert_array_equal(
            crop, image[top : top + 14, left : left + 14]
        )
        corners.add((top, left))
        flips.add(flipped)
    assert flips == {False, True}
    assert corners == set(itertools.product(range(3), repeat=2))


def test_grey_and_transparent_images_have_three_channels():
    grey = tf.io.encode_jpeg(np.full((50, 60, 1), 100, "uint8"))
    clear = tf.io.encode_png(np.full((50, 60, 4), 100, "uint8"))
    for contents in (grey, clear):
        image = imagenet.crop(contents, 32, augment=False)
        np.testing.assert_array_equal(image, np.full((32, 32, 3), 100))


@pytest.mark.parametrize(
    "break_, message",
    [
        (lambda f: (f / "val" / "other").mkdir(), "'other'"),
        (lambda f: (f / "train").rename(f / "t"), "for each class"),
        (
            lambda f: [p.unlink() for p in f.glob("val/*/*")],
            "has no image",
        ),
    ],
)
def test_folders_that_do_not_fit(tmp_path, break_, message):
    make_folder(tmp_path, classes=2, count=4)
    break_(tmp_path)
    with pytest.raises(ValueError, match=message):
        load(tmp_path)
