"""Trains a network of 1 to 3 bits on CIFAR-10, converts and verifies it.

    python -m examples.train_cifar10 --input-bits 2 --weight-bits 2

A script to copy from. `keras-aqe train cifar10` has more settings, keeps
checkpoints and goes on where a run was stopped.
"""

import argparse
import pathlib

import keras
import tensorflow as tf

import keras_aqe as aqe
from keras_aqe import converters, datasets

VERIFIED = 200


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--data-dir", help="folder of tensorflow-datasets")
    add("--train-images", type=int, default=datasets.TRAIN_IMAGES)
    add("--input-bits", type=int, default=1)
    add("--weight-bits", type=int, default=1)
    add("--filters", type=int, default=24, help="first layer's; the paper: 64")
    add("--epochs", type=int, default=10)
    add("--batch-size", type=int, default=128)
    add("--output", type=pathlib.Path, default=pathlib.Path("cifar10.tflite"))
    return parser.parse_args(argv)


def build_model(args, steps):
    """A model that takes images as they are, compiled."""
    image = keras.Input((32, 32, 3), dtype="uint8")
    network = aqe.models.MINWNet(
        "D",
        input_bits=args.input_bits,
        weight_bits=args.weight_bits,
        filters=args.filters,
    )
    # A power of two: the first layer's sums are exact on every processor.
    logits = network(keras.layers.Rescaling(1 / 128, offset=-1)(image))
    model = keras.Model(image, logits)
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(0.01, steps)
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,  # XLA's convolutions are slow on a CPU
    )
    return model


def main(argv=None):
    args = parse(argv)
    (x, y), validation, (x_test, y_test) = datasets.load_cifar10(
        args.data_dir, args.train_images
    )
    batches = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x))
    batches = batches.batch(args.batch_size, drop_remainder=True)
    model = build_model(args, steps=args.epochs * len(batches))
    model.fit(
        batches.map(datasets.augment).prefetch(2),
        validation_data=validation,
        epochs=args.epochs,
        callbacks=[aqe.callbacks.AlphaScheduler()],
        verbose=2,
    )
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)
    converted = converters.convert(model)
    print(converted.report)
    print(converters.verify(model, converted, x_test[:VERIFIED]))
    print(f"test accuracy {accuracy:.4f}, {converted.report.bytes:,} bytes")
    converted.save(args.output)


if __name__ == "__main__":
    main()
