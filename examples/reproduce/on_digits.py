"""Training on scikit-learn's scanned digits, for comparisons in minutes."""

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def digits():
    """Images of 16x16 and labels: to train on, to test, and likewise."""
    data = load_digits()
    images = tf.image.resize(data.images[..., np.newaxis], (16, 16))
    return train_test_split(
        images.numpy() / 8 - 1,
        data.target,
        test_size=0.2,
        stratify=data.target,
        random_state=0,
    )


def fit(model, x, y, epochs, batch_size, callbacks):
    """Trains with Adam from 0.01 to 2 % of it; returns the history."""
    steps = epochs * -(-len(x) // batch_size)
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.ExponentialDecay(0.01, steps, 0.02)
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    return model.fit(
        x,
        y,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=callbacks,
        verbose=0,
    )


def use_one_thread():
    """Sums then have one order, whatever the number of cores."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def print_row(cells):
    """Prints a row of a table in Markdown."""
    print("|", " | ".join(map(str, cells)), "|", flush=True)
