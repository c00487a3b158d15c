"""Train a MINW-Net of 1- to 3-bit weights and activations on CIFAR-10.

A MINW-Net is trained by the Asymptotic-Quantized Estimator (or, to compare,
by the straight-through estimator), saved and converted to `.tflite`:

```shell
python examples/train_cifar10.py --variant D --input-bits 1 --weight-bits 1 \
    --output runs/d11
```

CIFAR-10 comes from tensorflow-datasets, which downloads it at the first run.
Images are normalised by the mean and standard deviation of each channel of
the training images, and augmented by a random crop after padding by 4 pixels
and a random horizontal flip; the last 5,000 of the 50,000 training images are
held out for validation.

Chen et al., 2020, train with Adam at a learning rate of 0.01 with exponential
decay, batches of 256 and 200 epochs:
`--learning-rate 0.01 --batch-size 256 --epochs 200`.

A run that was stopped goes on at its last whole epoch, with the alpha it was
at, when the same command is given with `--resume`.
"""

import argparse
import json
import os
import shutil
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_aqe as aqe

HELD_OUT = 5_000
TRAIN_IMAGES = 50_000 - HELD_OUT
SCHEDULES = {
    "linear": aqe.schedules.Linear(start=0.1),
    "cosine": aqe.schedules.Cosine(),
    "exponential": aqe.schedules.Exponential(),
    "constant": aqe.schedules.Constant(0.5),
}

"""
## The data
"""


def load_cifar10(data_dir=None, train_images=TRAIN_IMAGES, dataset="cifar10"):
    """Returns (images, labels) of training, validation and test images."""
    # Imported here: only this function needs the `examples` extra.
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
    """Crops each image at random after padding by 4, and flips every other."""
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


def training_batches(images, labels, normalise, args):
    """Returns shuffled, augmented and normalised batches."""
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    data = data.shuffle(len(images), seed=args.seed)
    data = data.batch(args.batch_size, drop_remainder=True)
    if args.augment:
        data = data.map(augment)
    return data.map(lambda x, y: (normalise(x), y)).prefetch(2)


"""
## The model
"""


def build_model(args, total_steps, image_shape):
    model = aqe.models.MINWNet(
        args.variant,
        input_bits=args.input_bits,
        weight_bits=args.weight_bits,
        input_shape=image_shape,
        filters=args.filters,
        dense_units=args.dense_units,
        estimator=args.estimator,
    )
    # The learning rate falls to 2 % of its first value over the run.
    learning_rate = keras.optimizers.schedules.ExponentialDecay(
        args.learning_rate, decay_steps=total_steps, decay_rate=0.02
    )
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        # XLA pays on a GPU; on a CPU it makes the convolutions slower.
        jit_compile=bool(tf.config.list_physical_devices("GPU")),
    )
    return model


def build_callbacks(args, total_steps):
    callbacks = [
        # It is kept: were saving to fail, `--resume` would not train again.
        keras.callbacks.BackupAndRestore(
            args.output / "backup", delete_checkpoint=False
        ),
        keras.callbacks.TensorBoard(args.output / "logs"),
    ]
    if min(args.input_bits, args.weight_bits) < 32:
        callbacks.insert(
            1,
            aqe.callbacks.AlphaScheduler(
                SCHEDULES[args.schedule], total_steps=total_steps
            ),
        )
    return callbacks


"""
## Training
"""


def write(path, save):
    """Calls `save` with a temporary path, then renames that to `path`."""
    # The suffix stays: Keras reads the format from it.
    temporary = path.with_name(f"unfinished-{path.name}")
    try:
        save(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def train(args):
    """Trains, tests and saves; returns the model and its results."""
    began = time.monotonic()
    keras.utils.set_random_seed(args.seed)
    if not args.resume:
        shutil.rmtree(args.output / "backup", ignore_errors=True)
    args.output.mkdir(parents=True, exist_ok=True)

    (x, y), validation, test = load_cifar10(args.data_dir, args.train_images)
    mean = np.mean(x, axis=(0, 1, 2)).astype("float32")
    std = np.std(x, axis=(0, 1, 2)).astype("float32")

    def normalise(images):
        return (tf.cast(images, tf.float32) - mean) / std

    def whole_batches(images, labels):
        data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(500)
        return data.map(lambda x, y: (normalise(x), y)).prefetch(2)

    steps = len(x) // args.batch_size
    model = build_model(args, steps * args.epochs, x.shape[1:])
    model.fit(
        training_batches(x, y, normalise, args),
        epochs=args.epochs,
        validation_data=whole_batches(*validation),
        callbacks=build_callbacks(args, steps * args.epochs),
    )
    # Outside of training every quantizer is hard: this is what is shipped.
    _, accuracy = model.evaluate(whole_batches(*test), verbose=0)
    _, held_out = model.evaluate(whole_batches(*validation), verbose=0)
    write(args.output / "model.keras", model.save)
    results = {
        "test_accuracy": round(accuracy, 4),
        "validation_accuracy": round(held_out, 4),
        "seconds": round(time.monotonic() - began, 1),
        "mean": mean.tolist(),
        "std": std.tolist(),
        "arguments": {
            name: value
            for name, value in vars(args).items()
            if name not in ("data_dir", "output")
        },
    }
    write(
        args.output / "results.json",
        lambda path: path.write_text(json.dumps(results, indent=2) + "\n"),
    )
    return model, results


"""
## Conversion

A 1/1 network becomes Larq Compute Engine operators, any other one builtin
TensorFlow Lite operators.
"""


def convert(model, args):
    # Imported here: only a trained network needs the converter.
    from keras_aqe import converters

    binary = args.input_bits == args.weight_bits == 1
    converted = converters.convert(model, target="lce" if binary else "tflite")
    print(converted.report)
    converted.save(args.output / "model.tflite")


"""
## The command line
"""


def parse(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--variant", choices="ABCD", default="D")
    add("--filters", type=int, help="first layer's, in place of the variant's")
    add("--dense-units", type=int, help="in place of the variant's")
    add("--input-bits", type=int, default=1, choices=[1, 2, 3, 4, 8, 16, 32])
    add("--weight-bits", type=int, default=1, choices=[1, 2, 3, 4, 16, 32])
    add("--estimator", choices=["aqe", "ste"], default="aqe")
    add(
        "--schedule",
        choices=sorted(SCHEDULES),
        default="linear",
        help="of alpha, up to 1 at 85 %% of the run: linear from 0.1, others "
        "from 1/2; constant stays at 1/2 and leaves a network that is poor "
        "once it is hard",
    )
    add("--epochs", type=int, default=50)
    add("--batch-size", type=int, default=128)
    add("--learning-rate", type=float, default=5e-3)
    add("--seed", type=int, default=0)
    add("--train-images", type=int, default=TRAIN_IMAGES, help="at most")
    add("--augment", action=argparse.BooleanOptionalAction, default=True)
    add("--data-dir", help="of tensorflow-datasets")
    add("--output", type=Path, default=Path("runs/cifar10"), help="folder")
    add("--resume", action="store_true", help="go on with a stopped run")
    args = parser.parse_args(argv)
    if not args.batch_size <= args.train_images <= TRAIN_IMAGES:
        parser.error(
            f"--train-images must be from --batch-size ({args.batch_size}) to "
            f"{TRAIN_IMAGES}, as {HELD_OUT} of 50000 are held out. "
            f"Received: {args.train_images}"
        )
    if args.resume and not (args.output / "backup").exists():
        parser.error(
            f"there is nothing to resume: {args.output / 'backup'} does not "
            "exist. Leave --resume out, or give the stopped run's --output."
        )
    return args


def main(argv=None):
    args = parse(argv)
    model, results = train(args)
    print(f"Hard test accuracy: {results['test_accuracy']:.4f}")
    convert(model, args)
    print(f"Written: {args.output}")


if __name__ == "__main__":
    main()
