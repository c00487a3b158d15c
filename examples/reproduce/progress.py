"""What changes while a run goes on: the learning rate, and alpha."""

import functools

import keras
import numpy as np

import keras_aqe as aqe


def learning_rate(run, total_steps):
    """Returns the learning rate of a run: a number, or Keras's schedule."""
    rate, decay = run["learning_rate"], run["decay"]
    schedules = keras.optimizers.schedules
    if decay["kind"] == "exponential":
        return schedules.ExponentialDecay(rate, total_steps, decay["to"])
    if decay["kind"] == "steps":
        return schedules.PiecewiseConstantDecay(
            [round(part * total_steps) for part in decay["at"]],
            [rate * 0.1**count for count in range(len(decay["at"]) + 1)],
        )
    if decay["kind"] == "cosine":
        # The rate rises from 0 for that share of the run.
        rising = round(decay.get("warm_up", 0) * total_steps)
        return schedules.CosineDecay(
            0.0 if rising else rate,
            total_steps - rising,
            alpha=decay.get("to", 0.0),
            warmup_target=rate if rising else None,
            warmup_steps=rising,
        )
    if decay["kind"] == "none":
        return rate
    raise ValueError(
        "The `kind` of `decay` must be 'exponential', 'steps', 'cosine' or "
        f"'none'. Received: decay={decay}"
    )


def alpha(run):
    """Returns the schedule of alpha of a run."""
    arguments = dict(run["schedule"])
    return getattr(aqe.schedules, arguments.pop("kind"))(**arguments)


def alphas(run, quantizers, total_steps):
    """Returns alpha of each quantizer at each step.

    With `alpha_order` one quantizer after the other goes through the whole
    schedule, each in an equal part of the time until alpha is at its end:
    "forward" begins at the image, "backward" at the logits.

    Args:
        run: Settings, see `runs.DEFAULTS`.
        quantizers: Number of quantizers, which are counted from the image.
        total_steps: Steps of the run.

    Returns:
        Array `(total_steps, quantizers)`, float32.
    """
    schedule = functools.cache(alpha(run))
    progress = np.arange(total_steps) / total_steps
    if run["alpha_order"] is None:
        column = np.array([schedule(p) for p in progress], "float32")
        return np.tile(column[:, np.newaxis], quantizers)
    turns = {"forward": 1, "backward": -1}
    if run["alpha_order"] not in turns:
        raise ValueError(
            f"`alpha_order` must be one of {[None, *turns]}. "
            f"Received: alpha_order={run['alpha_order']!r}"
        )
    until = getattr(alpha(run), "until", 1.0)
    columns = []
    for turn in range(quantizers)[:: turns[run["alpha_order"]]]:
        own = np.clip(progress / until * quantizers - turn, 0, 1) * until
        columns.append([schedule(p) for p in own])
    return np.array(columns, "float32").T
