"""One run: builds, trains and tests the network that the settings describe."""

import datetime
import os
import platform

import keras
import numpy as np
import tensorflow as tf

import keras_aqe as aqe
from examples import train_cifar10
from examples.reproduce import cifar, imagenet, runs, strategies, variants
from examples.reproduce.backup import Backup
from examples.reproduce.curves import Curves

LOADERS = {
    "cifar10": cifar.load,
    "cifar100": cifar.load,
    "imagenet": imagenet.load,
}


def train(run, folder, args, strategy):
    """Trains a network, saves it and returns the record of the run.

    Args:
        run: Settings, see `runs.DEFAULTS`.
        folder: Where the model, its curves and the backup go.
        args: The command's arguments: where the images are.
        strategy: `tf.distribute` strategy; the batch size is that of all its
            replicas together.
    """
    keras.backend.clear_session()
    keras.utils.set_random_seed(run["seed"])
    worker = strategies.worker(strategy)
    data = LOADERS[run["dataset"]](run, args)
    with strategy.scope():
        model = build(run, data)
    curves = Curves(folder if worker == 0 else None, data)
    backup = Backup(folder / "backup", worker)
    with strategy.scope():
        steps_done = backup.restore(model)
    callbacks = [backup, curves]
    if not runs.is_float(run):
        callbacks.insert(1, _alpha_scheduler(run, data))
    model.fit(
        strategy.distribute_datasets_from_function(
            lambda context: data.training(context, steps_done)
        ),
        initial_epoch=steps_done // data.steps,
        epochs=run["epochs"],
        steps_per_epoch=data.steps,
        callbacks=callbacks,
        verbose=0,
    )
    # Outside of training every quantizer is hard: this is what is shipped.
    test = model.evaluate(data.test, verbose=0, return_dict=True)
    validation = model.evaluate(data.validation, verbose=0, return_dict=True)
    if worker == 0:
        train_cifar10.write(folder / "model.keras", model.save)
    epochs = curves.read()
    return {
        "run": run,
        "id": runs.identifier(run),
        **{f"test_{name}": round(test[name], 4) for name in test},
        "validation_accuracy": round(validation["accuracy"], 4),
        **_recalibrated(model, data, strategy),
        "seconds": round(sum(epoch["seconds"] for epoch in epochs), 1),
        "epochs": epochs,
        "finished": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} {platform.machine()} cores",
        "replicas": strategy.num_replicas_in_sync,
        "versions": {
            "keras_aqe": aqe.__version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _recalibrated(model, data, strategy):
    """What batch normalisation fitted to the hard network makes of it.

    Asked only of a network whose alpha ended below 1, trained on one device
    without a strategy. It changes the model, which has been saved before.
    """
    if strategy is not tf.distribute.get_strategy():
        return {}
    alphas = [float(q.alpha) for q in aqe.callbacks.find(model)]
    if min(alphas, default=1) == 1:
        return {}
    aqe.recalibrate(model, data.training_subset)
    recalibrated = model.evaluate(data.test, verbose=0, return_dict=True)
    accuracy = round(recalibrated["accuracy"], 4)
    return {"recalibrated_test_accuracy": accuracy}


def build(run, data):
    """Returns the compiled network."""
    model = getattr(aqe.models, run["network"])(
        input_bits=run["bits"][0],
        weight_bits=run["bits"][1],
        input_shape=data.image_shape,
        classes=data.classes,
        estimator=run["estimator"],
        stochastic=run["stochastic"],
        **run["network_arguments"],
    )
    variants.apply(model, run)
    metrics = ["accuracy"]
    if run["dataset"] == "imagenet":
        top5 = keras.metrics.SparseTopKCategoricalAccuracy
        metrics.append(top5(min(5, data.classes), name="top5_accuracy"))
    optimizer = getattr(keras.optimizers, run["optimizer"])
    model.compile(
        optimizer=optimizer(
            _learning_rate(run, data.steps * run["epochs"]),
            **run["optimizer_arguments"],
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=metrics,
        # XLA pays on a GPU; on a CPU it makes the convolutions slower.
        jit_compile=bool(tf.config.list_physical_devices("GPU")),
    )
    return model


def _learning_rate(run, total_steps):
    rate, decay = run["learning_rate"], run["decay"]
    schedules = keras.optimizers.schedules
    if decay["kind"] == "exponential":
        return schedules.ExponentialDecay(rate, total_steps, decay["to"])
    if decay["kind"] == "steps":
        return schedules.PiecewiseConstantDecay(
            [round(part * total_steps) for part in decay["at"]],
            [rate * 0.1**count for count in range(len(decay["at"]) + 1)],
        )
    return rate


def _alpha_scheduler(run, data):
    arguments = dict(run["schedule"])
    schedule = getattr(aqe.schedules, arguments.pop("kind"))(**arguments)
    return aqe.callbacks.AlphaScheduler(
        schedule, total_steps=data.steps * run["epochs"]
    )
