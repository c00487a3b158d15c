"""Runs under KERAS_BACKEND=jax on made-up images, in a process of its own.

As a script, with a folder for what it writes and the names of what to do; it
prints what tests look at as JSON.
"""

import argparse
import io
import json
import sys
from pathlib import Path

import jax
import keras
import numpy as np

import keras_aqe as aqe
from examples.reproduce import (
    __main__,
    images,
    jax_program,
    jax_training,
    progress,
    runs,
    variants,
)

SIZES, CLASSES, SIDE = (96, 24, 40), 5, 16
CLOSE = 1e-4  # Largest difference of weights after the same steps.
RUN = {
    **runs.DEFAULTS,
    "bits": [2, 2],
    "network": "Small",
    "schedule": {"kind": "Linear", "start": 0.3, "until": 0.7},
    "decay": {"kind": "cosine"},
    "augment": False,
    "batch_size": 16,
    "epochs": 3,
    "curve_images": 24,
}


def Small(input_bits, weight_bits, input_shape, classes, **kwargs):
    """A network of each kind of layer, which compiles in a few seconds."""
    kwargs = {name: kwargs[name] for name in ("estimator", "stochastic")}

    def quantizer(bits):
        return aqe.quantizers.of_width(bits, **kwargs)

    inputs = keras.Input(input_shape)
    x = aqe.layers.QuantConv2D(
        4, 3, use_bias=False, kernel_quantizer=quantizer(weight_bits)
    )(inputs)
    x = keras.layers.MaxPooling2D(2)(x)
    x = aqe.layers.HardTanh()(keras.layers.BatchNormalization()(x))
    if input_bits < 32:
        x = aqe.layers.QuantActivation(quantizer(input_bits))(x)
    x = aqe.layers.QuantDense(
        classes, use_bias=False, kernel_quantizer=quantizer(weight_bits)
    )(keras.layers.Flatten()(x))
    return keras.Model(inputs, keras.layers.BatchNormalization()(x))


def write_images(path):
    """Writes a file of PNG images, whose pixels it returns."""
    from PIL import Image

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (sum(SIZES), SIDE, SIDE, 3), "uint8")
    labels = rng.integers(0, CLASSES, len(pixels))
    encoded = []
    for image in pixels:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "png")
        encoded.append(file.getvalue())
    images.write(path, encoded, labels, SIZES, CLASSES)
    return pixels, labels


def train(folder, deadline=float("inf"), sources=(), **settings):
    """Trains `RUN` with other settings; returns what `train` does."""
    folder.mkdir(exist_ok=True)
    args = argparse.Namespace(
        images=folder.parent / "images.npz",
        output=folder.parent,
        deadline=deadline,
    )
    return jax_training.train({**RUN, **settings}, folder, args, dict(sources))


def weights(folder):
    """The arrays of the network that a run saved."""
    model = keras.models.load_model(folder / "model.keras")
    return [np.array(variable.value) for variable in model.variables]


def stopped(folder):
    """How far a run is from itself, stopped after each epoch."""
    train(folder / "unbroken")
    calls = 1
    while train(folder / "broken", deadline=0.0) is None:
        calls += 1
    same = [
        np.array_equal(a, b)
        for a, b in zip(
            weights(folder / "unbroken"), weights(folder / "broken")
        )
    ]
    return {"calls": calls, "same": all(same)}


def in_loops(folder):
    """How far the compiled loops of other devices are from a CPU's calls."""
    default, programs = jax.default_backend, dict(jax_training._programs)
    jax.default_backend = lambda: "gpu"
    jax_training._programs.clear()
    record = train(folder / "loops")
    jax.default_backend = default
    jax_training._programs.update(programs)
    differences = [
        float(np.abs(a - b).max())
        for a, b in zip(weights(folder / "unbroken"), weights(folder / "loops"))
    ]
    (other,) = [
        json.loads(line)["loss"]
        for line in (folder / "unbroken" / "curves.jsonl").open()
    ][-1:]
    return {
        "differences": max(differences),
        "losses": [record["epochs"][-1]["loss"], other],
    }


def against_fit(folder):
    """The differences to the same steps by `fit`, of the first close seed.

    Where rounding takes one value to the other side of its threshold, all
    later steps differ. What computes something else is close for no seed.
    """
    for seed in range(3):
        found = _against_fit(folder, seed)
        if found["differences"]["weights"] < CLOSE:
            break
    return found


def _against_fit(folder, seed):
    settings = {"weight_decay": 0.01, "seed": seed}
    folder = folder / f"decayed_{seed}"
    record = train(folder, **settings)
    run = {**RUN, **settings}
    data = jax_training._data(folder.parent / "images.npz", None, None)
    total = SIZES[0] // run["batch_size"] * run["epochs"]
    order = []
    for epoch in range(run["epochs"]):
        key = jax.random.fold_in(jax.random.key(run["seed"]), epoch)
        shuffled, _ = jax.random.split(key)
        order.append(jax.random.permutation(shuffled, SIZES[0]))
    order = np.concatenate(order)
    pixels = np.asarray(data.pixels).astype("float32")
    normalised = (pixels - data.mean) / data.std
    keras.utils.set_random_seed(run["seed"])
    model = variants.build(run, (SIDE, SIDE, 3), CLASSES)
    for variable in model.trainable_variables:
        variable.regularizer = keras.regularizers.L2(run["weight_decay"] / 2)
    model.compile(
        keras.optimizers.Adam(progress.learning_rate(run, total)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(
        normalised[order],
        np.asarray(data.labels)[order],
        batch_size=run["batch_size"],
        shuffle=False,
        verbose=0,
        callbacks=[aqe.callbacks.AlphaScheduler(progress.alpha(run), total)],
    )
    ours = keras.models.load_model(folder / "model.keras")
    differences = {"weights": 0.0, "statistics": 0.0}
    for mine, theirs in zip(ours.weights, model.weights):
        kind = "statistics" if "moving" in mine.path else "weights"
        difference = np.abs(np.subtract(mine.value, theirs.value)).max()
        differences[kind] = max(differences[kind], float(difference))

    # The record's accuracies, of the network and of the recalibrated one.
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours.compile(loss=loss, metrics=["accuracy"])
    parts = np.split(np.arange(sum(SIZES)), np.cumsum(SIZES)[:-1])
    accuracies = {}
    for name in ("moving", "recalibrated"):
        for part, index in (("validation", parts[1]), ("test", parts[2])):
            labels = np.asarray(data.labels)[index]
            _, accuracy = ours.evaluate(normalised[index], labels, verbose=0)
            found = record[f"{name}_{part}_accuracy"]
            accuracies[f"{name} {part}"] = [round(accuracy, 4), found]
        aqe.recalibrate(ours, normalised[parts[0]], batch_size=SIZES[0])
    return {"differences": differences, "accuracies": accuracies}


def augmented(folder):
    """How many of the augmented images are a crop and a flip of theirs."""
    data = jax_training._data(folder / "images.npz", None, None)
    program = jax_program.Program({**RUN, "augment": True}, data)
    index = np.arange(8)
    found, _ = program._batch(data.arrays, index, jax.random.key(1))
    padded = np.pad(
        np.asarray(data.pixels)[index], [(0, 0), (4, 4), (4, 4), (0, 0)]
    ).astype("float32")
    kinds = set()
    for image, original in zip(np.asarray(found), padded):
        for top in range(9):
            for left in range(9):
                crop = original[top : top + SIDE, left : left + SIDE]
                for step in (1, -1):
                    expected = (crop[:, ::step] - data.mean) / data.std
                    if np.allclose(image, expected, atol=1e-5):
                        kinds.add((top, left, step))
    return {"images": len(index), "kinds": sorted(kinds)}


def settings(folder):
    """Losses of an epoch of training by other settings, and of the test."""
    losses = {}
    for name, setting in {
        "plain": {},
        "bfloat16": {"dtype": "mixed_bfloat16"},
        "ste": {"estimator": "ste"},
        "hard": {"forward": "hard", "gradient": "1"},
        "forward": {"alpha_order": "forward"},
        "inputs": {"aqe_for": "inputs"},
        "triangle": {"input_gradient": "triangle"},
        "power": {"input_gradient": "power", "kernel_gradient": "power"},
        "standardized": {"kernel_constraint": {"deviation": 0.5}},
        "smoothed": {"label_smoothing": 0.1},
        "recalibrated": {"recalibrate": True},
    }.items():
        record = train(folder / name, epochs=1, **setting)
        losses[name] = record["epochs"][-1]["loss"]
        losses[f"{name} tested"] = record["test_loss"]
    train(folder / "float", epochs=1, bits=[32, 32])
    taught = train(
        folder / "taught",
        epochs=1,
        teacher={"stage": "float", "share": 0.5},
        sources={"teacher": folder / "float" / "model.keras"},
    )
    losses["taught"] = taught["epochs"][-1]["loss"]
    started = train(
        folder / "started",
        epochs=1,
        initial={"stage": "float"},
        sources={"initial": folder / "float" / "model.keras"},
    )
    losses["started"] = started["epochs"][-1]["loss"]
    data = jax_training._data(folder / "images.npz", None, None)
    program = jax_training._program(RUN, data)
    # With a teacher and without.
    return {"losses": losses, "compiled": program._step._cache_size()}


def smoke(folder):
    """All runs of an experiment that needs JAX, small, and once more."""
    command = ["estimator", "--scale", "smoke"]
    command += ["--images", str(folder / "images.npz")]
    command += ["--output", str(folder / "smoke")]
    __main__.main(command)
    lines = (folder / "smoke" / "results.jsonl").read_text()
    # A second time there is nothing left to train.
    __main__.main(command)
    return {
        "runs": [
            runs.key(json.loads(line)["run"]) for line in lines.splitlines()
        ],
        "same": (folder / "smoke" / "results.jsonl").read_text() == lines,
    }


def read(folder):
    """Whether the file has what was written."""
    pixels, labels = write_images(folder / "images.npz")
    found = images.read(folder / "images.npz", processes=1)
    return [
        np.array_equal(found.pixels, pixels),
        np.array_equal(found.labels, labels),
        (found.sizes, found.classes) == (SIZES, CLASSES),
    ]


def main(folder, *names):
    aqe.models.Small = Small
    results = {name: globals()[name](folder) for name in ("read", *names)}
    results["tensorflow"] = "tensorflow" in sys.modules
    print(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
