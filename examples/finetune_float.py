"""Fine-tune a float network to 1, 2 and 3 bits, on CIFAR-10.

A float ResNet-8 is trained, becomes a quantized one by
`keras_aqe.quantize_model` at each of the widths, and is trained on by the
Asymptotic-Quantized Estimator. With `--scratch` networks with fresh weights
train for as many epochs as the float network and the fine-tuning took
together, to compare:

```shell
python -m examples.finetune_float --widths 1 2 3 --scratch
```

`--float-model` takes a float network from a file instead, or by the name
`mlperf` MLPerf Tiny's ResNet-8, which is downloaded from GitHub:

```shell
python -m examples.finetune_float --float-model mlperf --widths 2 3 32
```

Width 32 trains the float network on, as the other widths are: what
fine-tuning gains where the images are not those that it was trained with.

CIFAR-10 comes from tensorflow-datasets, which downloads it at the first run.
Networks take pixels from 0 to 255, as that of MLPerf Tiny does.
"""

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_aqe as aqe
from keras_aqe import datasets
from keras_aqe.cli.training import training_batches
from keras_aqe.files import write_whole

MLPERF = {
    "fname": "pretrainedResnet.h5",
    "origin": "https://raw.githubusercontent.com/mlcommons/tiny/master/"
    "benchmark/training/image_classification/trained_models/"
    "pretrainedResnet.h5",
    "file_hash": "5f938a8eea605438cc7360aa13c987bc"
    "6d7bd0c8d931b2917361ae7ae4eeda2f",
}
# Images that the scales of inputs are measured by.
MEASURED = 256

"""
## The float network
"""


def resnet8(filters):
    """The ResNet-8 of MLPerf Tiny: ReLU networks come as this one does."""

    def conv(x, filters, size, strides, name):
        return keras.layers.Conv2D(
            filters, size, strides, padding="same", name=name
        )(x)

    def norm(x, name):
        return keras.layers.BatchNormalization(name=f"{name}_bn")(x)

    def relu(x, name):
        return keras.layers.ReLU(name=f"{name}_relu")(x)

    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 128, -1)(inputs)
    x = relu(norm(conv(x, filters, 3, 1, "first"), "first"), "first")
    for stage in range(3):
        name, strides = f"stage{stage + 1}", 1 if stage == 0 else 2
        width = filters * 2**stage
        y = conv(x, width, 3, strides, f"{name}_conv1")
        y = relu(norm(y, f"{name}_conv1"), f"{name}_conv1")
        y = norm(conv(y, width, 3, 1, f"{name}_conv2"), f"{name}_conv2")
        if strides > 1:
            x = conv(x, width, 1, strides, f"{name}_shortcut")
        x = relu(keras.layers.Add(name=f"{name}_add")([x, y]), name)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="last")(x))


def load_float(args):
    path = args.float_model
    if path == "mlperf":
        path = keras.utils.get_file(**MLPERF)
    return keras.models.load_model(path, compile=False)


"""
## Training
"""


class Data:
    """CIFAR-10 as the runs take it."""

    def __init__(self, args):
        train, _, test = datasets.load_cifar10(args.data_dir, args.train_images)
        self._train, self._test, self._args = train, test, args
        self.measured = train[0][:MEASURED].astype("float32")
        self.steps = len(train[0]) // args.batch_size

    def batches(self):
        return training_batches(
            *self._train, lambda x: tf.cast(x, tf.float32), self._args
        )

    def accuracy(self, model):
        x, y = self._test
        logits = model.predict(x.astype("float32"), batch_size=500, verbose=0)
        return float(np.mean(logits.argmax(-1) == y))


def train(model, epochs, data, args):
    """Trains a model; returns the accuracy of its hard form."""
    keras.utils.set_random_seed(args.seed)
    is_softmax = getattr(model.layers[-1], "activation", None) is (
        keras.activations.softmax
    )
    learning_rate = keras.optimizers.schedules.CosineDecay(
        args.learning_rate, epochs * data.steps
    )
    model.compile(
        keras.optimizers.Adam(learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=not is_softmax),
        jit_compile=False,
    )
    # Short runs need a larger part of them for the hard network to settle.
    schedule = aqe.schedules.Linear(start=0.1, until=0.7)
    callbacks = [aqe.callbacks.AlphaScheduler(schedule)]
    if not aqe.callbacks.find(model):
        callbacks = []
    model.fit(data.batches(), epochs=epochs, callbacks=callbacks, verbose=2)
    return data.accuracy(model)


def quantized(model, bits, data, args):
    if bits == 32:
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        return copy
    return aqe.quantize_model(
        model, bits, bits, data=data.measured, estimator=args.estimator
    )


def file_bytes(model):
    # Imported here: only a trained network needs the converter.
    from keras_aqe import converters

    return len(converters.convert(model, "packed").flatbuffer)


def run(args):
    """Trains and tests all networks; returns a line for each."""
    args.output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)
    data, lines = Data(args), []

    def note(network, bits, epochs, accuracy, model, began):
        lines.append(
            {
                "network": network,
                "bits": bits,
                "epochs": epochs,
                "test_accuracy": round(accuracy, 4),
                "packed_bytes": file_bytes(model),
                "seconds": round(time.monotonic() - began, 1),
            }
        )
        print(lines[-1], flush=True)
        arguments = {
            name: value
            for name, value in vars(args).items()
            if name not in ("data_dir", "output")
        }
        text = json.dumps({"arguments": arguments, "runs": lines}, indent=2)
        write_whole(
            args.output / "results.json",
            lambda path: path.write_text(text + "\n"),
        )

    began = time.monotonic()
    if args.float_model:
        model, epochs = load_float(args), 0
        accuracy = data.accuracy(model)
    else:
        model, epochs = resnet8(args.filters), args.float_epochs
        accuracy = train(model, epochs, data, args)
    note("float", 32, epochs, accuracy, model, began)
    write_whole(args.output / "float.keras", model.save)
    for bits in args.widths:
        began = time.monotonic()
        twin = quantized(model, bits, data, args)
        accuracy = train(twin, args.epochs, data, args)
        note("fine-tuned", bits, args.epochs, accuracy, twin, began)
        name = f"{bits}-bit.keras"
        write_whole(args.output / name, twin.save)
        if args.scratch:
            began = time.monotonic()
            keras.utils.set_random_seed(args.seed)
            fresh = keras.models.clone_model(model)
            twin = quantized(fresh, bits, data, args)
            total = epochs + args.epochs
            accuracy = train(twin, total, data, args)
            note("from scratch", bits, total, accuracy, twin, began)
    return lines


"""
## The command line
"""


def parse(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--widths", type=int, nargs="+", default=[1, 2, 3], help="bits")
    add("--float-model", help="a file, or mlperf; else one is trained")
    add("--float-epochs", type=int, default=20, help="of the one trained")
    add("--epochs", type=int, default=10, help="of fine-tuning")
    add("--scratch", action="store_true", help="train fresh networks too")
    add("--filters", type=int, default=16, help="of the float network")
    add("--batch-size", type=int, default=100)
    add("--learning-rate", type=float, default=5e-3)
    add("--estimator", choices=["aqe", "aqe_ste", "ste"], default="aqe")
    add("--seed", type=int, default=0)
    add(
        "--train-images",
        type=int,
        default=datasets.TRAIN_IMAGES,
        help="at most",
    )
    add("--augment", action=argparse.BooleanOptionalAction, default=True)
    add("--data-dir", help="of tensorflow-datasets")
    add("--output", type=Path, default=Path("runs/finetune"), help="folder")
    args = parser.parse_args(argv)
    if args.scratch and args.float_model:
        parser.error(
            "--scratch compares with the epochs of a float network trained "
            "here, so it goes without --float-model"
        )
    return args


def main(argv=None):
    args = parse(argv)
    print("network       bits  epochs  accuracy  packed bytes")
    for line in run(args):
        print(
            f"{line['network']:<13} {line['bits']:>4} {line['epochs']:>7} "
            f"{line['test_accuracy']:>9.4f} {line['packed_bytes']:>13,}"
        )
    print(f"Written: {args.output}")


if __name__ == "__main__":
    main()
