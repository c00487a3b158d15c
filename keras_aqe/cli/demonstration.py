"""A network of 1 bit trained on real images, converted, verified and run."""

import importlib.util
import time

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import keras_aqe as aqe
from keras_aqe import converters, datasets
from keras_aqe.cli.training import compile_classifier
from keras_aqe.files import write_whole

BATCH_SIZE = 32


def load(args):
    """Returns images of floats and labels, to train on and to test."""
    if args.dataset == "digits":
        return datasets.digits()
    train, _, test = datasets.load_cifar10(args.data_dir, args.images)
    return [
        (x[:count].astype("float32") / 127.5 - 1.0, y[:count])
        for (x, y), count in ((train, None), (test, 1000))
    ]


def train(bits, train_set, test_set, args):
    """Returns a MINW-Net of that width, its history and its test scores."""
    x, y = train_set
    keras.utils.set_random_seed(args.seed)
    model = aqe.models.MINWNet(
        input_bits=bits,
        weight_bits=bits,
        input_shape=x.shape[1:],
        filters=16,
        dense_units=64,
        # A 1-bit input cannot hold the zeros of ordinary padding.
        pad_value=1.0 if bits == 1 else 0.0,
    )
    steps = args.epochs * -(-len(x) // BATCH_SIZE)
    compile_classifier(model, 0.01, steps)
    scheduler = aqe.callbacks.AlphaScheduler()
    history = model.fit(
        x,
        y,
        batch_size=BATCH_SIZE,
        epochs=args.epochs,
        validation_data=test_set,
        callbacks=[scheduler] if bits < 32 else [],
        verbose=0 if args.json else 2,
    )
    # Outside of training every quantizer is hard.
    scores = model.evaluate(*test_set, verbose=0, return_dict=True)
    return model, history, scores


def run(args):
    """Does all of it; returns what `--json` prints.

    Args:
        args: Those of `keras-aqe demo`.
    """
    console = Console(highlight=False, quiet=args.json)
    start = time.monotonic()
    args.output.mkdir(parents=True, exist_ok=True)
    train_set, test_set = load(args)
    x_test, y_test = test_set
    console.print(
        f"{args.dataset}: {len(train_set[0])} training images, "
        f"{len(x_test)} test images"
    )
    console.rule("1. Train in float, to compare with")
    float_model, float_history, float_scores = train(
        32, train_set, test_set, args
    )
    console.rule("2. Train with 1-bit weights and activations by AQE")
    model, history, scores = train(1, train_set, test_set, args)

    console.rule("3. Convert, verify, run")
    files = {
        "float": converters.convert(float_model, target="tflite"),
        "packed": converters.convert(model),
        "LCE": converters.convert(model, target="lce"),
    }
    files["float"].save(args.output / "float.tflite")
    files["packed"].save(args.output / "model.tflite")
    files["LCE"].save(args.output / "model-lce.tflite")
    write_whole(args.output / "model.keras", model.save)
    agreement = converters.verify(model, files["packed"], x_test)
    accuracies = {
        name: _accuracy(file, x_test, y_test) for name, file in files.items()
    }
    if not args.json:
        # As wide as it is, whatever it is printed to.
        print(files["packed"].report)
    table = Table(
        "", "float", "1 bit, packed", "1 bit, LCE", title=args.dataset
    )
    for column in table.columns[1:]:
        column.justify = "right"
    keras_ = (float_scores["accuracy"], scores["accuracy"])
    table.add_row("accuracy in Keras", *(f"{a:.4f}" for a in keras_), "")
    table.add_row(
        "accuracy of the .tflite file",
        *("" if a is None else f"{a:.4f}" for a in accuracies.values()),
    )
    table.add_row(
        ".tflite file, bytes", *(f"{file.bytes:,}" for file in files.values())
    )
    console.print(table)
    ratio = files["float"].bytes / files["packed"].bytes
    console.print(f"The packed file is {ratio:.1f} times smaller than float.")
    console.print(f"Keras against the packed file: {agreement}", soft_wrap=True)
    plot = _plot({"float": float_history, "1 bit": history}, args.output)
    console.print(
        f"Files are in {args.output}/; "
        f"{time.monotonic() - start:.0f} s in all.",
        soft_wrap=True,
    )
    return {
        "dataset": args.dataset,
        "keras_accuracy": {"float": keras_[0], "1 bit": keras_[1]},
        "file_accuracy": accuracies,
        "bytes": {name: file.bytes for name, file in files.items()},
        "verification": agreement.to_dict(),
        "plot": plot,
        "output": str(args.output),
    }


def _accuracy(file, x, y):
    """Of a file; `None` where its engine is not installed."""
    try:
        logits = converters.Interpreter(file).predict(x)
    except converters.EngineMissingError:
        return None
    return float(np.mean(logits.argmax(axis=-1) == y))


def _plot(histories, folder):
    """Draws both trainings; `None` where matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        return None
    path = folder / "training.png"
    figure = aqe.plots.training_curves(
        histories, metrics=("val_accuracy", "val_loss")
    )
    figure.savefig(path)
    return str(path)
