"""CIFAR as one compact file, which is read without TensorFlow.

```shell
python -m examples.reproduce.images cifar10 cifar10.npz --data-dir DIR
```

writes the images of tensorflow-datasets as they are encoded there, in their
order; `examples.reproduce --images cifar10.npz` trains on them.
"""

import argparse
import concurrent.futures
import dataclasses
import io
import multiprocessing
import os
from pathlib import Path

import numpy as np

# What a process decodes at a time: starting it takes as long as 2,000 images.
_IMAGES_A_TASK = 5_000


@dataclasses.dataclass(frozen=True)
class Images:
    """Decoded images and labels: training, held-out and test images.

    Args:
        pixels: `(count, height, width, 3)`, uint8.
        labels: `(count,)`, int32.
        sizes: Number of training, held-out and test images, which follow one
            another.
        classes: Number of classes.
    """

    pixels: np.ndarray
    labels: np.ndarray
    sizes: tuple[int, int, int]
    classes: int

    def splits(self):
        """Returns `(pixels, labels)` of the three parts."""
        ends = np.cumsum(self.sizes)[:-1]
        return list(
            zip(np.split(self.pixels, ends), np.split(self.labels, ends))
        )


def write(path, encoded, labels, sizes, classes):
    """Writes the file.

    Args:
        path: Ends in `.npz`.
        encoded: The bytes of each image: JPEG, PNG or what else Pillow reads.
        labels: The label of each.
        sizes: Number of training, held-out and test images.
        classes: Number of classes.
    """
    # Processes that only decode need no Keras.
    from keras_aqe.files import write_whole

    lengths = [len(image) for image in encoded]
    arrays = {
        "encoded": np.frombuffer(b"".join(encoded), np.uint8),
        "ends": np.cumsum(lengths),
        "labels": np.asarray(labels, np.int32),
        "sizes": np.asarray(sizes),
        "classes": np.asarray(classes),
    }
    # Compressed, since each JPEG image has the same tables at its head.
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda name: np.savez_compressed(name, **arrays))


def read(path, processes=None):
    """Returns the `Images` of a file.

    Args:
        path: What `write` wrote.
        processes: How many decode at a time; `None` is one a core.
    """
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    ends = arrays["ends"]
    starts = np.concatenate([[0], ends[:-1]])
    tasks = [
        (
            arrays["encoded"][starts[first] : ends[last - 1]].tobytes(),
            ends[first:last] - starts[first],
        )
        for first in range(0, len(ends), _IMAGES_A_TASK)
        for last in [min(first + _IMAGES_A_TASK, len(ends))]
    ]
    processes = min(processes or os.cpu_count(), len(tasks))
    if processes == 1:
        parts = [_decode(*task) for task in tasks]
    else:
        # A fork would copy a process in which JAX may have threads.
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(
            processes, context
        ) as executor:
            parts = list(executor.map(_decode, *zip(*tasks)))
    return Images(
        pixels=np.concatenate(parts),
        labels=arrays["labels"],
        sizes=tuple(map(int, arrays["sizes"])),
        classes=int(arrays["classes"]),
    )


def _decode(encoded, ends):
    # Imported here: only whoever decodes needs Pillow.
    from PIL import Image

    starts = np.concatenate([[0], ends[:-1]])
    return np.stack(
        [
            np.asarray(
                Image.open(io.BytesIO(encoded[start:end])).convert("RGB")
            )
            for start, end in zip(starts, ends)
        ]
    )


def from_tfds(dataset, data_dir):
    """Returns the arguments of `write`, `path` left out, for a dataset.

    The held-out images are the last of the training images.
    """
    # Imported here: only this needs the `examples` extra, and TensorFlow.
    import tensorflow_datasets as tfds

    from keras_aqe.datasets import HELD_OUT

    builder = tfds.builder(dataset, data_dir=data_dir)
    builder.download_and_prepare()
    encoded, labels, counts = [], [], []
    for split in ("train", "test"):
        data = builder.as_dataset(
            split=split,
            decoders={"image": tfds.decode.SkipDecoding()},
        )
        for example in tfds.as_numpy(data):
            encoded.append(example["image"])
            labels.append(example["label"])
        counts.append(len(encoded))
    held_out = HELD_OUT
    sizes = (counts[0] - held_out, held_out, counts[1] - counts[0])
    classes = builder.info.features["label"].num_classes
    return encoded, labels, sizes, classes


def first_tests(encoded, labels, sizes, classes, count):
    """Of the arguments of `write` those of the first `count` test images."""
    start = sum(sizes[:-1])
    part = slice(start, start + min(count, sizes[-1]))
    return encoded[part], labels[part], (0, 0, len(labels[part])), classes


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m examples.reproduce.images",
        description="Writes a dataset of tensorflow-datasets as one file.",
    )
    add = parser.add_argument
    add("dataset", choices=["cifar10", "cifar100"])
    add("file", type=Path, help="ends in .npz")
    add("--data-dir", help="of tensorflow-datasets")
    add(
        "--only-test",
        type=int,
        metavar="N",
        help="the first N test images and no others, to test a network with",
    )
    args = parser.parse_args(argv)
    if args.file.suffix != ".npz":
        parser.error(f"the file's name must end in .npz. Received: {args.file}")
    found = from_tfds(args.dataset, args.data_dir)
    if args.only_test is not None:
        found = first_tests(*found, args.only_test)
    write(args.file, *found)
    print(f"{args.file}: {args.file.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
