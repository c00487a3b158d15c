"""Images per second of the ImageNet input alone: read, decode, crop, batch.

Without a folder it writes JPEG images of ImageNet's usual size first, smooth
noise whose files are about as large as photographs'.

    python benchmarks/input_pipeline.py
    python benchmarks/input_pipeline.py --image-folder DIR
"""

import argparse
import os
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np
import rich
import rich.table
import tensorflow as tf

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from examples.reproduce import imagenet, runs  # noqa: E402

HEIGHT, WIDTH = 375, 500


def make_folder(folder, count):
    """Writes `count` images to `train` and one to `val`."""
    rng = np.random.default_rng(0)
    for part, number in (("train", count), ("val", 1)):
        (folder / part / "class").mkdir(parents=True)
        for index in range(number):
            noise = rng.uniform(0, 255, (HEIGHT // 5, WIDTH // 5, 3))
            image = tf.image.resize(noise, (HEIGHT, WIDTH), "bicubic")
            image += rng.normal(0, 8, image.shape)
            image = tf.cast(tf.clip_by_value(image, 0, 255), tf.uint8)
            path = folder / part / "class" / f"{index}.jpeg"
            path.write_bytes(tf.io.encode_jpeg(image, quality=90).numpy())


def rates(batches, rounds, steps, batch_size):
    """Returns the images per second of each round."""
    iterator = iter(batches)
    next(iterator)
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(steps):
            next(iterator)
        found.append(steps * batch_size / (time.perf_counter() - began))
    return found


def main():
    parser = argparse.ArgumentParser(
        formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--image-folder", type=pathlib.Path, help="`train`, `val` of classes")
    add("--images", type=int, default=600, help="made if there is no folder")
    add("--batch-size", type=int, default=128)
    add("--image-size", type=int, default=imagenet.CROP, help="pixels")
    add("--rounds", type=int, default=5)
    add("--steps", type=int, default=5, help="batches a round")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        if args.image_folder is None:
            args.image_folder = pathlib.Path(made)
            make_folder(args.image_folder, args.images)
        files = list(args.image_folder.glob("train/*/*"))
        size = statistics.mean(path.stat().st_size for path in files)
        table = rich.table.Table(
            "crops",
            "images per second",
            title=f"Batches of {args.batch_size}, files of {size / 1e3:.0f} kB,"
            f" {os.cpu_count()} cores",
        )
        for augment in (True, False):
            run = {
                **runs.DEFAULTS,
                "batch_size": args.batch_size,
                "image_size": args.image_size,
            }
            data = imagenet.load({**run, "augment": augment}, args)
            batches = data.training(tf.distribute.InputContext())
            found = rates(batches, args.rounds, args.steps, args.batch_size)
            table.add_row(
                "random, flipped" if augment else "centre",
                f"{statistics.median(found):.0f}",
            )
        rich.print(table)


if __name__ == "__main__":
    main()
