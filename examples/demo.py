"""Train a 1-bit MINW-Net on real images, convert it, run the .tflite file.

The whole path in a few minutes on two CPU cores, on the 1,797 scanned digits
that scikit-learn ships (8x8, enlarged to 32x32); no data is downloaded:

    python examples/demo.py

The same on part of CIFAR-10, through tensorflow-datasets:

    python examples/demo.py --dataset cifar10 [--data-dir DIR]
"""

import argparse
import pathlib
import time

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_aqe as aqe
from keras_aqe import converters

BATCH_SIZE = 32
console = Console(highlight=False)


def digits():
    """Scans of handwritten digits, a fifth of each class held out."""
    data = load_digits()
    images = tf.image.resize(data.images[..., np.newaxis], (32, 32))
    images = images.numpy() / 8.0 - 1.0
    x_train, x_test, y_train, y_test = train_test_split(
        images, data.target, test_size=0.2, stratify=data.target, random_state=0
    )
    return (x_train, y_train), (x_test, y_test)


def cifar10(data_dir, images):
    """The first `images` of CIFAR-10's training set, 1,000 of its test set."""
    import tensorflow_datasets as tfds

    splits = tfds.load(
        "cifar10",
        split=[f"train[:{images}]", "test[:1000]"],
        data_dir=data_dir,
        batch_size=-1,
        as_supervised=True,
    )
    return [
        (x.numpy().astype("float32") / 127.5 - 1.0, y.numpy())
        for x, y in splits
    ]


def train(bits, train_set, test_set, epochs, seed):
    """Returns a MINW-Net of that width and its test accuracy."""
    x, y = train_set
    keras.utils.set_random_seed(seed)
    model = aqe.models.MINWNet(
        input_bits=bits,
        weight_bits=bits,
        input_shape=x.shape[1:],
        filters=16,
        dense_units=64,
        # A 1-bit input cannot hold the zeros of ordinary padding.
        pad_value=1.0 if bits == 1 else 0.0,
    )
    steps = epochs * -(-len(x) // BATCH_SIZE)
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.ExponentialDecay(0.01, steps, 0.02)
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        # XLA's convolutions are slow on a CPU.
        jit_compile=False,
    )
    scheduler = aqe.callbacks.AlphaScheduler()
    model.fit(
        x,
        y,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=[scheduler] if bits < 32 else [],
        verbose=2,
    )
    # Outside of training every quantizer is hard.
    return model, model.evaluate(*test_set, verbose=0, return_dict=True)


def save_keras(model, path):
    """Writes the model under a temporary name, then renames it."""
    temporary = path.with_name(f"part-{path.name}")
    model.save(temporary)
    temporary.replace(path)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--dataset", choices=["digits", "cifar10"], default="digits"
    )
    parser.add_argument(
        "--data-dir", help="where tensorflow-datasets keeps CIFAR-10"
    )
    parser.add_argument(
        "--images",
        type=int,
        default=5000,
        help="training images of CIFAR-10 (all: 50000)",
    )
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--output", type=pathlib.Path, default=pathlib.Path("demo_output")
    )
    return parser.parse_args()


def main():
    args = parse_arguments()
    start = time.monotonic()
    args.output.mkdir(parents=True, exist_ok=True)
    if args.dataset == "digits":
        train_set, test_set = digits()
    else:
        train_set, test_set = cifar10(args.data_dir, args.images)
    x_test, y_test = test_set
    console.print(
        f"{args.dataset}: {len(train_set[0])} training images, "
        f"{len(x_test)} test images"
    )

    console.rule("1. Train in float, to compare with")
    float_model, float_scores = train(
        32, train_set, test_set, args.epochs, args.seed
    )
    console.rule("2. Train with 1-bit weights and activations by AQE")
    model, scores = train(1, train_set, test_set, args.epochs, args.seed)

    console.rule("3. Convert, verify, run")
    converted = converters.convert(model, target="lce")
    float_converted = converters.convert(float_model, target="tflite")
    agreement = converters.verify(model, converted, x_test)
    logits = converters.Interpreter(converted.flatbuffer).predict(x_test)
    accuracy = float(np.mean(logits.argmax(axis=-1) == y_test))
    converted.save(args.output / "model.tflite")
    float_converted.save(args.output / "float.tflite")
    save_keras(model, args.output / "model.keras")

    print(converted.report)
    table = Table("", "float", "1 bit", title=f"{args.dataset}, test set")
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_row(
        "accuracy in Keras",
        f"{float_scores['accuracy']:.4f}",
        f"{scores['accuracy']:.4f}",
    )
    table.add_row("accuracy of the .tflite file", "", f"{accuracy:.4f}")
    sizes = [len(c.flatbuffer) for c in (float_converted, converted)]
    table.add_row(".tflite file, bytes", *(f"{size:,}" for size in sizes))
    console.print(table)
    console.print(f"The file is {sizes[0] / sizes[1]:.1f} times smaller.")
    console.print(f"Keras against the .tflite file: {agreement}")
    console.print(
        f"Files are in {args.output}/; "
        f"{time.monotonic() - start:.0f} s in all.",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
