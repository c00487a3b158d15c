"""Fine-tune a float MobileNetV2 to few bits, on scanned digits.

A float MobileNetV2 of `keras.applications`, a third as wide as usual, is
trained on scikit-learn's digits at 32x32 pixels, becomes a quantized one by
`keras_aqe.quantize_model`, and is trained on as `docs/float_models.md` says:

```shell
python -m examples.finetune_mobilenet
```

Each run adds a line to `results.jsonl`, with its arguments and the accuracy
of the hard network on the images for testing. The float network is trained
once for a folder, and kept there.
"""

import argparse
import json
import time
from pathlib import Path

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_aqe as aqe
from keras_aqe.files import write_whole

# Images that the scales of inputs are measured by.
MEASURED = 256
BATCH = 32
FLOAT_RATE = 3e-3


def load_images():
    """Digits at 32x32, in [-1, 1]: a fifth of them for testing."""
    digits = load_digits()
    x = digits.images.repeat(4, axis=1).repeat(4, axis=2)[..., None] / 8 - 1
    x = x.astype("float32")
    return train_test_split(x, digits.target, test_size=0.2, random_state=0)


def fit(model, epochs, data, callbacks=()):
    """Trains a compiled model; returns the accuracy of its hard form."""
    x, x_test, y, y_test = data
    model.fit(
        x, y, batch_size=BATCH, epochs=epochs, callbacks=callbacks, verbose=2
    )
    # The momentum of keras.applications' batch normalisation is 0.999.
    aqe.recalibrate(model, x, batch_size=256)
    test = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
    return test["accuracy"]


def compiled(model, optimizer):
    model.compile(
        optimizer,
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    return model


def float_network(args, data):
    path = args.output / "float.keras"
    if not path.exists():
        keras.utils.set_random_seed(0)
        model = keras.applications.MobileNetV2(
            (32, 32, 1), alpha=0.35, weights=None, classes=10
        )
        compiled(model, keras.optimizers.Adam(FLOAT_RATE))
        accuracy = fit(model, args.float_epochs, data)
        print(f"Float network: {accuracy:.4f}")
        write_whole(path, model.save)
    return keras.models.load_model(path, compile=False)


def run(args):
    """Trains twins; yields a line of results for each."""
    args.output.mkdir(parents=True, exist_ok=True)
    data = load_images()
    x = data[0]
    twin = aqe.quantize_model(
        float_network(args, data),
        args.input_bits,
        args.weight_bits,
        depthwise_bits=tuple(args.depthwise_bits),
        data=x[:MEASURED],
        estimator=args.estimator,
    )
    steps = args.epochs * -(-len(x) // BATCH)
    learning_rate = keras.optimizers.schedules.CosineDecay(
        args.learning_rate, steps
    )
    optimizer = keras.optimizers.Adam(learning_rate, beta_2=args.beta_2)
    optimizer.build(twin.trainable_variables)
    compiled(twin, optimizer)
    schedule = aqe.schedules.Linear(start=0.1, until=args.until)
    # Put back, so that Keras traces the twin once for all seeds.
    weights = twin.get_weights()
    state = [keras.ops.convert_to_numpy(v) for v in optimizer.variables]
    for seed in args.seeds:
        keras.utils.set_random_seed(seed)
        twin.set_weights(weights)
        for variable, value in zip(optimizer.variables, state):
            variable.assign(value)
        began = time.process_time()
        accuracy = fit(
            twin, args.epochs, data, [aqe.callbacks.AlphaScheduler(schedule)]
        )
        yield {
            **{
                name: value
                for name, value in vars(args).items()
                if name not in ("output", "seeds")
            },
            "seed": seed,
            "test_accuracy": round(accuracy, 4),
            "packed_bytes": file_bytes(twin),
            "cpu_seconds": round(time.process_time() - began),
        }


def file_bytes(model):
    # Imported here: only a trained network needs the converter.
    from keras_aqe import converters

    return converters.convert(model).bytes


def parse(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--input-bits", type=int, default=2)
    add("--weight-bits", type=int, default=2)
    add(
        "--depthwise-bits",
        type=int,
        nargs=2,
        default=[8, 4],
        metavar=("INPUT", "WEIGHT"),
        help="that depthwise layers have at least",
    )
    add("--estimator", choices=["aqe", "aqe_ste", "ste"], default="aqe_ste")
    add("--until", type=float, default=0.3, help="progress at which alpha is 1")
    add("--learning-rate", type=float, default=2e-3)
    add("--beta-2", type=float, default=0.9)
    add("--epochs", type=int, default=12, help="of fine-tuning")
    add("--float-epochs", type=int, default=12)
    add("--seeds", type=int, nargs="+", default=[0])
    add("--output", type=Path, default=Path("runs/mobilenet"), help="folder")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse(argv)
    for line in run(args):
        with (args.output / "results.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line))


if __name__ == "__main__":
    main()
