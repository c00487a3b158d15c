"""ImageNet: imagenet2012 of tensorflow-datasets, or a folder of images.

The crops are those of Chen et al., 2020: a random one of 224x224 pixels (and a
random flip) out of 256x256 in training, the one in the centre in tests. The
256x256 pixels are the largest square in the centre of the image, resized; to
save work, the crop is taken first and then resized by the same factor.
"""

import random

import tensorflow as tf

from examples.reproduce.data import RECALIBRATED, Data, shuffled

CROP, WHOLE = 224, 256
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
HELD_OUT = 0.01  # Share of the training images.
SUFFIXES = (".jpeg", ".jpg", ".png")


def load(run, args):
    """Returns the `Data` of a run's settings."""
    source = _Folder if args.image_folder else _Tfds
    source = source(args, run["seed"])
    held_out = max(1, round(HELD_OUT * source.count))
    count = min(source.count - held_out, run["train_images"] or source.count)
    size = run["image_size"] or CROP

    def whole(part, start, stop):
        data = source.encoded(part, start, stop)
        return batches(data, size, run["batch_size"], augment=False)

    def share(context, steps_done=0):
        seen = steps_done * run["batch_size"]
        data = source.endless(held_out, held_out + count, context, seen)
        size_ = context.get_per_replica_batch_size(run["batch_size"])
        return batches(data, size, size_, augment=run["augment"])

    return Data(
        training=share,
        steps=count // run["batch_size"],
        validation=whole(
            "train", 0, min(held_out, run["test_images"] or count)
        ),
        test=whole("val", 0, run["test_images"]),
        training_subset=whole(
            "train", held_out, held_out + min(count, run["curve_images"])
        ),
        validation_subset=whole("train", 0, min(held_out, run["curve_images"])),
        calibration=whole(
            "train", held_out, held_out + min(count, RECALIBRATED)
        ),
        image_shape=(size, size, 3),
        classes=source.classes,
    )


def batches(encoded, size, batch_size, augment):
    """Decodes, crops, normalises and batches encoded images.

    Args:
        encoded: Dataset of `(bytes, label)`.
        size: Height and width of the images in pixels.
        batch_size: Images in a batch.
        augment: Whether crops and flips are random.
    """

    def decode(contents, label):
        return crop(contents, size, augment), label

    data = encoded.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    return data.batch(batch_size).map(_normalise).prefetch(tf.data.AUTOTUNE)


def crop(contents, size, augment):
    """Returns the crop of an encoded image, uint8, `size` by `size`."""

    def jpeg():
        shape = tf.io.extract_jpeg_shape(contents)
        window = _window(shape, augment)
        return tf.image.decode_and_crop_jpeg(
            contents, window, channels=3, dct_method="INTEGER_ACCURATE"
        )

    def other():
        image = tf.io.decode_image(
            contents, channels=3, expand_animations=False
        )
        top, left, height, width = tf.unstack(_window(tf.shape(image), augment))
        return image[top : top + height, left : left + width]

    image = tf.cond(tf.io.is_jpeg(contents), jpeg, other)
    image = tf.image.resize(image, (size, size), antialias=True)
    image = tf.cast(tf.round(tf.clip_by_value(image, 0, 255)), tf.uint8)
    if augment:
        image = tf.image.random_flip_left_right(image)
    return image


def _window(shape, augment):
    """Top, left, height and width of the crop, in pixels of the file."""
    height, width = shape[0], shape[1]
    whole = tf.minimum(height, width)
    side = tf.maximum(whole * CROP // WHOLE, 1)
    offsets = tf.repeat((whole - side) // 2, 2)
    if augment:
        offsets = tf.random.uniform([2], 0, whole - side + 1, tf.int32)
    corner = (tf.stack([height, width]) - whole) // 2
    return tf.concat([corner + offsets, [side, side]], axis=0)


def _normalise(images, labels):
    return (tf.cast(images, tf.float32) - MEAN) / STD, labels


class _Folder:
    """`train/<class>/<image>` and `val/<class>/<image>` in a folder."""

    def __init__(self, args, seed):
        self.seed = seed
        self.folder = args.image_folder
        names = [path.name for path in self._subfolders("train")]
        self.labels = {name: label for label, name in enumerate(names)}
        self.classes = len(names)
        self.files = {part: self._files(part) for part in ("train", "val")}
        self.count = len(self.files["train"])

    def _subfolders(self, part):
        folder = self.folder / part
        found = sorted(p for p in folder.glob("*") if p.is_dir())
        if not found:
            raise ValueError(
                "--image-folder must have `train` and `val`, each with a "
                f"folder for each class. Found no class in: {folder}"
            )
        return found

    def _files(self, part):
        files = []
        for subfolder in self._subfolders(part):
            if subfolder.name not in self.labels:
                raise ValueError(
                    f"Class {subfolder.name!r} of {self.folder / part} has no "
                    "folder in `train`."
                )
            files += [
                (str(path), self.labels[subfolder.name])
                for path in sorted(subfolder.iterdir())
                if path.suffix.lower() in SUFFIXES
            ]
        if not files:
            raise ValueError(
                f"{self.folder / part} has no image ({', '.join(SUFFIXES)})."
            )
        random.Random(self.seed).shuffle(files)
        return files

    def encoded(self, part, start, stop):
        """Returns `(bytes, label)` of some images, once."""
        paths, labels = map(list, zip(*self.files[part][start:stop]))
        return self._read(tf.data.Dataset.from_tensor_slices((paths, labels)))

    def endless(self, start, stop, context, seen):
        """Returns a worker's share of training images, endless, shuffled.

        The first `seen` images of all workers together are left out.
        """
        paths, labels = map(list, zip(*self.files["train"][start:stop]))
        indices = shuffled(stop - start, self.seed, context, seen)
        return self._read(
            indices.map(
                lambda index: (
                    tf.gather(paths, index),
                    tf.gather(labels, index),
                )
            )
        )

    def _read(self, paths):
        return paths.map(
            lambda path, label: (tf.io.read_file(path), label),
            num_parallel_calls=tf.data.AUTOTUNE,
        )


class _Tfds:
    """imagenet2012, which tensorflow-datasets stores in random order."""

    def __init__(self, args, seed):
        # Imported here: a folder of images needs no tensorflow-datasets.
        import tensorflow_datasets as tfds

        self.seed = seed
        self.builder = tfds.builder("imagenet2012", data_dir=args.data_dir)
        self.builder.download_and_prepare()
        self.options = {
            "decoders": {"image": tfds.decode.SkipDecoding()},
            "as_supervised": True,
        }
        self.read_config = tfds.ReadConfig
        self.classes = self.builder.info.features["label"].num_classes
        self.count = self.builder.info.splits["train"].num_examples

    def encoded(self, part, start, stop):
        split = {"train": "train", "val": "validation"}[part]
        stop = "" if stop is None else stop
        return self.builder.as_dataset(
            split=f"{split}[{start}:{stop}]", **self.options
        )

    def endless(self, start, stop, context, seen):
        del seen  # Files come in an order that cannot be entered midway.
        data = self.builder.as_dataset(
            split=f"train[{start}:{stop}]",
            shuffle_files=True,
            # Each worker reads files of its own.
            read_config=self.read_config(
                shuffle_seed=self.seed, input_context=context
            ),
            **self.options,
        )
        # 10,000 encoded images take about a gigabyte.
        return data.shuffle(10_000, seed=self.seed).repeat()
