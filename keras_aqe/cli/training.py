"""Trains a network of 1- to 3-bit weights and activations on images.

Images are normalised by the mean and standard deviation of each channel of
the training images; those of CIFAR-10 are augmented by a random crop after
padding by 4 pixels and a random horizontal flip.
"""

import json
import shutil
import time

import keras
import numpy as np
import tensorflow as tf

import keras_aqe as aqe
from keras_aqe import converters, datasets
from keras_aqe.files import write_whole

SCHEDULES = {
    "linear": aqe.schedules.Linear(start=0.1),
    "cosine": aqe.schedules.Cosine(),
    "exponential": aqe.schedules.Exponential(),
    "constant": aqe.schedules.Constant(0.5),
}


def load(args):
    """Returns (images, labels) to train on, to validate and to test."""
    if args.dataset == "cifar10":
        return datasets.load_cifar10(args.data_dir, args.train_images)
    (x, y), test = datasets.digits()
    held_out, kept = len(x) // 10, slice(args.train_images)
    validation = x[-held_out:], y[-held_out:]
    return (x[:-held_out][kept], y[:-held_out][kept]), validation, test


def training_batches(images, labels, normalise, args):
    """Returns shuffled, augmented and normalised batches."""
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    data = data.shuffle(len(images), seed=args.seed)
    data = data.batch(args.batch_size, drop_remainder=True)
    if args.augment:
        data = data.map(datasets.augment)
    return data.map(lambda x, y: (normalise(x), y)).prefetch(2)


def build_model(args, total_steps, image_shape):
    """Returns the network, compiled."""
    own = {}
    if args.network == "MINWNet":
        own = {
            "variant": args.variant,
            "filters": args.filters,
            "dense_units": args.dense_units,
        }
    model = getattr(aqe.models, args.network)(
        input_bits=args.input_bits,
        weight_bits=args.weight_bits,
        input_shape=image_shape,
        estimator=args.estimator,
        **own,
    )
    compile_classifier(model, args.learning_rate, total_steps)
    return model


def compile_classifier(model, learning_rate, total_steps):
    """Adam, whose learning rate falls to 0 by a cosine, on logits."""
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(learning_rate, total_steps)
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        # XLA pays on a GPU; on a CPU it makes the convolutions slower.
        jit_compile=bool(tf.config.list_physical_devices("GPU")),
    )


def build_callbacks(args, total_steps):
    """Returns what goes on beside training."""
    callbacks = [
        # It is kept: were saving to fail, `--resume` would not train again.
        keras.callbacks.BackupAndRestore(
            args.output / "backup", delete_checkpoint=False
        ),
        keras.callbacks.TensorBoard(args.output / "logs"),
    ]
    if min(args.input_bits, args.weight_bits) < 32:
        callbacks.append(
            aqe.callbacks.AlphaScheduler(
                SCHEDULES[args.schedule], total_steps=total_steps
            ),
        )
    return callbacks


def train(args):
    """Trains, tests and saves; returns the model and its results."""
    began = time.monotonic()
    keras.utils.set_random_seed(args.seed)
    if not args.resume:
        shutil.rmtree(args.output / "backup", ignore_errors=True)
    args.output.mkdir(parents=True, exist_ok=True)

    (x, y), validation, test = load(args)
    mean = np.mean(x, axis=(0, 1, 2)).astype("float32")
    std = np.std(x, axis=(0, 1, 2)).astype("float32")

    def normalise(images):
        return (tf.cast(images, tf.float32) - mean) / std

    def whole_batches(images, labels):
        data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(500)
        return data.map(lambda x, y: (normalise(x), y)).prefetch(2)

    steps = len(x) // args.batch_size
    model = build_model(args, steps * args.epochs, x.shape[1:])
    history = model.fit(
        training_batches(x, y, normalise, args),
        epochs=args.epochs,
        validation_data=whole_batches(*validation),
        callbacks=build_callbacks(args, steps * args.epochs),
        verbose=0 if args.json else "auto",
    )
    # Outside of training every quantizer is hard: this is what is shipped.
    _, accuracy = model.evaluate(whole_batches(*test), verbose=0)
    _, held_out = model.evaluate(whole_batches(*validation), verbose=0)
    write_whole(args.output / "model.keras", model.save)
    converted = converters.convert(model, target=args.target)
    converted.save(args.output / "model.tflite")
    results = {
        "test_accuracy": round(accuracy, 4),
        "validation_accuracy": round(held_out, 4),
        "bytes": converted.bytes,
        "target": args.target,
        "seconds": round(time.monotonic() - began, 1),
        "mean": mean.tolist(),
        "std": std.tolist(),
        "history": {
            name: [float(value) for value in values]
            for name, values in history.history.items()
        },
        "arguments": {
            name: value
            for name, value in vars(args).items()
            if isinstance(value, (bool, float, int, str, type(None)))
            and name != "data_dir"
        },
    }
    write_whole(
        args.output / "results.json",
        lambda path: path.write_text(json.dumps(results, indent=2) + "\n"),
    )
    return converted, results
