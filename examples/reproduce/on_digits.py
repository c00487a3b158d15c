"""Training on scikit-learn's scanned digits, for comparisons in minutes."""

import keras
import tensorflow as tf


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
