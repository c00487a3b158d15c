"""One run under TensorFlow: `fit` on `tf.data`, by `tf.distribute`."""

import statistics

import keras
import tensorflow as tf

import keras_aqe as aqe
from examples.reproduce import (
    cifar,
    imagenet,
    progress,
    runs,
    strategies,
    variants,
    widening,
)
from examples.reproduce.backup import Backup, Deadline
from examples.reproduce.curves import Curves
from keras_aqe.files import write_whole

LOADERS = {
    "cifar10": cifar.load,
    "cifar100": cifar.load,
    "imagenet": imagenet.load,
}


def train(run, folder, args, strategy):
    """Trains a network, saves it and returns what was measured.

    Args:
        run: Settings, see `runs.DEFAULTS`.
        folder: Where the model, its curves and the backup go.
        args: The command's arguments: where the images are, and the
            `deadline`.
        strategy: `tf.distribute` strategy; the batch size is that of all its
            replicas together.

    Returns:
        A dictionary, or `None` if the deadline came first.
    """
    _check(run)
    keras.backend.clear_session()
    keras.utils.set_random_seed(run["seed"])
    worker = strategies.worker(strategy)
    data = LOADERS[run["dataset"]](run, args)
    with strategy.scope():
        model = build(run, data)
        widening.start(model, run)
    every, last = run["curve_every"], run["epochs"]
    curves = Curves(folder if worker == 0 else None, data, every, last)
    backup = Backup(folder / "backup", worker)
    with strategy.scope():
        steps_done = backup.restore(model)
    deadline = Deadline(args.deadline)
    callbacks = [backup, curves, deadline]
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
    if deadline.stopped:
        return None
    if run["dtype"] != "float32" or run["label_smoothing"]:
        # What is tested, and saved without a loss of our own.
        plain = {**run, "label_smoothing": 0.0}
        model = _compiled(aqe.to_float32(model), plain, data)
    if run["recalibrate"]:
        aqe.recalibrate(model, data.calibration)
    # Outside of training every quantizer is hard: this is what is shipped.
    test = model.evaluate(data.test, verbose=0, return_dict=True)
    validation = model.evaluate(data.validation, verbose=0, return_dict=True)
    if worker == 0:
        write_whole(folder / "model.keras", model.save)
    epochs = curves.read()
    seconds = [epoch["seconds"] for epoch in epochs]
    return {
        **{f"test_{name}": round(test[name], 4) for name in test},
        "validation_accuracy": round(validation["accuracy"], 4),
        **_recalibrated(model, data, strategy),
        "seconds": round(sum(seconds), 1),
        "seconds_per_epoch": round(statistics.median(seconds or [0]), 4),
        "epochs": epochs,
        "device": " and ".join(
            sorted({d.device_type for d in tf.config.get_visible_devices()})
        ),
        "replicas": strategy.num_replicas_in_sync,
    }


def versions():
    """The versions of what only this backend needs."""
    return {"tensorflow": tf.__version__}


def _check(run):
    for setting in ("alpha_order", "teacher", "initial"):
        if run[setting] is not None:
            raise ValueError(
                f"`{setting}` is for KERAS_BACKEND=jax. "
                f"Received: {setting}={run[setting]!r} under TensorFlow"
            )


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
    model = variants.build(run, data.image_shape, data.classes)
    apply(model, run)
    return _compiled(model, run, data)


def apply(model, run):
    """Changes a model, not trained yet, as the settings of the run ask."""
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                # The statistics of the whole batch, not of a replica's part.
                layer.synchronized = True
    for variable, share in zip(
        model.trainable_variables, variants.decays(run, model)
    ):
        if run["weight_decay"] * share:
            # Added to the loss, as in the papers; the decay that Keras
            # optimizers have is apart from momentum.
            variable.regularizer = keras.regularizers.L2(
                run["weight_decay"] / 2
            )
    usual = {**runs.DEFAULTS, "estimator": run["estimator"]}
    for quantizer, form, own in zip(
        aqe.callbacks.find(model), _forms(run, model), _forms(usual, model)
    ):
        if form != own:
            quantizer.estimate = variants.estimator(*form)


def _forms(run, model):
    return list(zip(variants.forms(run, model), variants.shapes(run, model)))


def _compiled(model, run, data):
    metrics = ["accuracy"]
    if run["dataset"] == "imagenet":
        top5 = keras.metrics.SparseTopKCategoricalAccuracy
        metrics.append(top5(min(5, data.classes), name="top5_accuracy"))
    optimizer = getattr(keras.optimizers, run["optimizer"])
    model.compile(
        optimizer=optimizer(
            progress.learning_rate(run, data.steps * run["epochs"]),
            **run["optimizer_arguments"],
        ),
        loss=_loss(run, data.classes),
        metrics=metrics,
        # XLA pays on a GPU; on a CPU it makes the convolutions slower.
        jit_compile=bool(tf.config.list_physical_devices("GPU")),
    )
    return model


def _loss(run, classes):
    hard = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if not run["label_smoothing"]:
        return hard
    smooth = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=run["label_smoothing"]
    )
    return lambda labels, logits: smooth(
        keras.ops.one_hot(keras.ops.reshape(labels, (-1,)), classes), logits
    )


def _alpha_scheduler(run, data):
    return aqe.callbacks.AlphaScheduler(
        progress.alpha(run), total_steps=data.steps * run["epochs"]
    )
