"""Time of a training step: a 1/1 MINW-Net against the same one in float.

Both networks are compiled as `keras-aqe train` compiles its own, and
take turns within one process, so that whatever else the machine does meets
both. The float network has hard tanh where the other quantizes.

    python benchmarks/training_step.py
    KERAS_BACKEND=jax python benchmarks/training_step.py
"""

import argparse
import statistics
import time

import keras
import numpy as np
import rich
import rich.table

import keras_aqe as aqe

TARGET = 1.05
# XLA's convolutions are slow on a CPU; nothing else compiles under JAX.
COMPILE = False if keras.backend.backend() == "tensorflow" else "auto"


def compiled(bits, args):
    model = aqe.models.MINWNet(
        input_bits=bits,
        weight_bits=bits,
        filters=args.filters,
        dense_units=args.dense_units,
    )
    model.compile(
        optimizer=keras.optimizers.Adam(5e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=COMPILE,
    )
    return model


def turns(models, batch, rounds, steps):
    """Returns, for each model, the median step in seconds of each turn."""
    for model in models:
        model.train_on_batch(*batch)
    times = [[] for _ in models]
    for _ in range(rounds):
        for model, seconds in zip(models, times):
            round_ = []
            for _ in range(steps):
                began = time.perf_counter()
                model.train_on_batch(*batch)
                round_.append(time.perf_counter() - began)
            seconds.append(statistics.median(round_))
    return times


def main():
    parser = argparse.ArgumentParser(
        formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--filters", type=int, default=24)
    add("--dense-units", type=int, default=128)
    add("--batch-size", type=int, default=128)
    add("--rounds", type=int, default=10, help="turns of each network")
    add("--steps", type=int, default=10, help="steps a turn")
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    batch = (
        rng.standard_normal((args.batch_size, 32, 32, 3), "float32"),
        rng.integers(0, 10, args.batch_size),
    )
    quantized, float_ = turns(
        [compiled(1, args), compiled(32, args)],
        batch,
        args.rounds,
        args.steps,
    )
    ratio = statistics.median(a / b for a, b in zip(quantized, float_))
    table = rich.table.Table(
        "network", "median step (ms)", title=f"Batch of {args.batch_size}"
    )
    for name, seconds in [("1/1 AQE", quantized), ("float", float_)]:
        table.add_row(name, f"{1000 * statistics.median(seconds):.1f}")
    rich.print(table)
    print(f"Median ratio of the turns: {ratio:.3f} (target: {TARGET})")


if __name__ == "__main__":
    main()
