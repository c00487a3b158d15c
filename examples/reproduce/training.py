"""One run: builds, trains and tests the network that the settings describe."""

import datetime
import os
import platform

import keras
import numpy as np
import tensorflow as tf

import keras_aqe as aqe
from examples.reproduce import data as datasets
from examples.reproduce import runs, variants
from examples.reproduce.curves import Curves


def train(run, folder, args):
    """Trains a network, saves it and returns the record of the run.

    Args:
        run: Settings, see `runs.DEFAULTS`.
        folder: Where the model, its curves and the backup go.
        args: The command's `data_dir` and `strategy`.
    """
    keras.backend.clear_session()
    keras.utils.set_random_seed(run["seed"])
    data = datasets.load(run, args.data_dir)
    total_steps = data.steps * run["epochs"]
    model = build(run, data, total_steps)
    curves = Curves(folder, data)
    callbacks = [
        # First, so that the others see the optimizer's step of the backup.
        keras.callbacks.BackupAndRestore(folder / "backup"),
        *([] if _is_float(run) else [_alpha_scheduler(run, total_steps)]),
        curves,
    ]
    model.fit(
        data.training,
        epochs=run["epochs"],
        steps_per_epoch=data.steps,
        callbacks=callbacks,
        verbose=0,
    )
    # Outside of training every quantizer is hard: this is what is shipped.
    loss, test = model.evaluate(data.test, verbose=0)
    _, validation = model.evaluate(data.validation, verbose=0)
    unfinished = folder / "unfinished.keras"
    model.save(unfinished)
    os.replace(unfinished, folder / "model.keras")
    epochs = curves.read()
    return {
        "run": run,
        "id": runs.identifier(run),
        "test_accuracy": round(test, 4),
        "test_loss": round(loss, 4),
        "validation_accuracy": round(validation, 4),
        "seconds": round(sum(epoch["seconds"] for epoch in epochs), 1),
        "epochs": epochs,
        "finished": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} {platform.machine()} cores",
        "versions": {
            "keras_aqe": aqe.__version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def build(run, data, total_steps):
    """Returns the compiled network."""
    bits = dict(zip(("input_bits", "weight_bits"), run["bits"]))
    model = getattr(aqe.models, run["network"])(
        **bits,
        input_shape=data.image_shape,
        classes=data.classes,
        estimator=run["estimator"],
        **({"stochastic": True} if run["stochastic"] else {}),
        **run["network_arguments"],
    )
    variants.apply(model, run)
    learning_rate = run["learning_rate"]
    if run["decay"]["kind"] == "exponential":
        learning_rate = keras.optimizers.schedules.ExponentialDecay(
            learning_rate, total_steps, run["decay"]["to"]
        )
    optimizer = getattr(keras.optimizers, run["optimizer"])
    model.compile(
        optimizer=optimizer(learning_rate, **run["optimizer_arguments"]),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        # XLA pays on a GPU; on a CPU it makes the convolutions slower.
        jit_compile=bool(tf.config.list_physical_devices("GPU")),
    )
    return model


def _is_float(run):
    return min(run["bits"]) == 32


def _alpha_scheduler(run, total_steps):
    arguments = dict(run["schedule"])
    schedule = getattr(aqe.schedules, arguments.pop("kind"))(**arguments)
    return aqe.callbacks.AlphaScheduler(schedule, total_steps=total_steps)
