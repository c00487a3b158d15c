"""One run: builds, trains and tests the network that the settings describe."""

import datetime
import os
import platform

import keras
import numpy as np

import keras_aqe as aqe
from examples.reproduce import runs


def train(run, folder, args, sources, strategy=None):
    """Trains a network by Keras's backend and returns the record of the run.

    Args:
        run: Settings, see `runs.DEFAULTS`.
        folder: Where the model, its curves and the checkpoint go.
        args: The command's arguments: where the images are, and the time at
            which to stop.
        sources: Paths of the networks that the run needs, see `runs.sources`.
        strategy: `tf.distribute` strategy, under TensorFlow.

    Returns:
        A dictionary, or `None` if the time was up first.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from examples.reproduce import tensorflow_training as trainer

        found = trainer.train(run, folder, args, strategy)
    elif backend == "jax":
        from examples.reproduce import jax_training as trainer

        found = trainer.train(run, folder, args, sources)
    else:
        raise ValueError(
            "Runs train under KERAS_BACKEND=tensorflow or jax. "
            f"Received: {backend}"
        )
    if found is None:
        return None
    return {
        "run": run,
        "id": runs.identifier(run),
        **found,
        "backend": backend,
        "finished": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} {platform.machine()} cores",
        "versions": {
            "keras_aqe": aqe.__version__,
            "keras": keras.__version__,
            **trainer.versions(),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
