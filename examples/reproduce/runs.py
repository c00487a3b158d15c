"""From a configuration file to the settings of its runs."""

import dataclasses
import hashlib
import itertools
import json
import statistics
import tomllib
from pathlib import Path

CONFIGS = Path(__file__).parent / "configs"
NAMES = sorted(path.stem for path in CONFIGS.glob("*.toml"))
SCALES = ("full", "small", "smoke")
SEARCH = "learning rate"  # The stage that "best" learning rates come from.

# What a run is when its configuration does not say otherwise. `aqe_for` is
# "all" quantizers, or those of "inputs" or "kernels": STE trains the others.
# `kernel_constraint` holds the `deviation` of `variants.Standardized`.
# `decayed` says which variables lose weight: "all", the "latent" kernels or the
# "other" ones. `teacher` and `initial` name a `stage` of the experiment, whose
# network of the same kind gives a `share` of the targets, or the first weights.
# `widened` names the trained `network` of this package, its widths left out,
# whose units are repeated for the first weights, and the `noise` on these.
DEFAULTS = {
    "dataset": "cifar10",
    "train_images": None,
    "test_images": None,
    "image_size": None,
    "augment": True,
    "network": "MINWNet",
    "network_arguments": {},
    "bits": [1, 1],
    "estimator": "aqe",
    "forward": "blend",
    "gradient": "2 alpha",
    "aqe_for": "all",
    "input_gradient": "flat",
    "kernel_gradient": "flat",
    "stochastic": False,
    "schedule": {"kind": "Linear"},
    "alpha_order": None,
    "kernel_constraint": None,
    "kernel_thresholds": None,
    "input_thresholds": None,
    "optimizer": "Adam",
    "optimizer_arguments": {},
    "weight_decay": 0.0,
    "decayed": "all",
    "learning_rate": 0.01,
    "decay": {"kind": "exponential", "to": 0.02},
    "label_smoothing": 0.0,
    "teacher": None,
    "initial": None,
    "widened": None,
    "batch_size": 128,
    "dtype": "float32",
    "epochs": 10,
    "recalibrate": False,
    "curve_images": 2_000,
    "curve_every": 1,
    "seed": 0,
}


@dataclasses.dataclass(frozen=True)
class Planned:
    """A run and its place in the experiment.

    Args:
        place: Name of the stage, or the labels of row and column.
        run: Settings, see `DEFAULTS`.
    """

    place: str | tuple
    run: dict


def load(name):
    """Returns the configuration `configs/<name>.toml` as a dictionary."""
    return tomllib.loads((CONFIGS / f"{name}.toml").read_text())


def expand(config, scale):
    """Yields a `Planned` for each run, in order.

    A configuration has `[run]`, settings of all its runs; `[scale.<name>]`,
    which override all others; and a list of `[[stage]]`, or of `[[row]]` and
    of `[[column]]` of a table, with settings of their own. A stage may have a
    `figure` of its runs. `stages`, `rows` and `columns` in a scale name the
    ones it takes, `shrink` adds arguments of networks. A setting that is a
    list stands for one run per entry, the last such setting varying fastest;
    "default" stands for that of `DEFAULTS`.
    """
    scaled = dict(config["scale"][scale])
    shrink = scaled.pop("shrink", {})
    for place, own in _places(config, scaled):
        settings = {**config["run"], **own, **scaled}
        unknown = sorted(settings.keys() - DEFAULTS.keys())
        if unknown:
            raise ValueError(
                f"{place!r} has unknown settings {unknown}. "
                f"Known: {sorted(DEFAULTS)}"
            )
        axes = [name for name in settings if isinstance(settings[name], list)]
        for values in itertools.product(*(settings[axis] for axis in axes)):
            run = {**DEFAULTS, **settings, **dict(zip(axes, values))}
            run |= {n: DEFAULTS[n] for n, v in run.items() if v == "default"}
            run["network_arguments"] = {
                **run["network_arguments"],
                **shrink.get(run["network"], {}),
            }
            yield Planned(place, run)


def _places(config, scaled):
    """Yields `(place, settings)`; takes the choice of places from `scaled`."""

    def chosen(kind, label):
        names = scaled.pop(f"{kind}s", None)
        entries = config.get(kind, [])
        known = [entry[label] for entry in entries]
        if names is not None and not set(names) <= set(known):
            raise ValueError(
                f"`{kind}s` must be some of {known}. Received: {names}"
            )
        return [e for e in entries if names is None or e[label] in names]

    def settings(entry):
        about = ("name", "label", "paper", "value", "figure")
        return {name: entry[name] for name in entry if name not in about}

    stages = chosen("stage", "name")
    rows, columns = chosen("row", "label"), chosen("column", "label")
    for stage in stages:
        yield stage["name"], settings(stage)
    for row, column in itertools.product(rows, columns):
        yield (row["label"], column["label"]), settings(row) | settings(column)


def key(run):
    """A string that is equal for equal settings.

    Defaults are left out, so that a new setting leaves old runs as they are.
    """
    chosen = {n: v for n, v in run.items() if v != DEFAULTS[n]}
    return json.dumps(chosen, sort_keys=True)


def identifier(run):
    """A short name for the settings of a run."""
    return hashlib.sha256(key(run).encode()).hexdigest()[:12]


def resolve(run, searched, results):
    """Returns `run` with its learning rate, or `None` if not known yet.

    Args:
        run: Settings, whose `learning_rate` may be "best".
        searched: The settings of the search for learning rates.
        results: `{key(run): validation accuracy}` of the finished runs.

    "best" is the learning rate that has the highest validation accuracy, in
    the mean over widths, among the searched runs with the estimator of `run`
    (float runs are compared with float runs).
    """
    if run["learning_rate"] != "best":
        return run
    accuracies = {}
    for other in searched:
        if _kind(other) != _kind(run):
            continue
        if key(other) not in results:
            return None
        rate = other["learning_rate"]
        accuracies.setdefault(rate, []).append(results[key(other)])
    if not accuracies:
        raise ValueError(
            f"`learning_rate = 'best'` needs a stage {SEARCH!r} with the "
            f"estimator of the run. Received: {label(run)}"
        )
    best = max(accuracies, key=lambda rate: statistics.mean(accuracies[rate]))
    return {**run, "learning_rate": best}


def _kind(run):
    return "float" if is_float(run) else run["estimator"]


def sources(run, plan):
    """Returns the runs whose networks a run needs, `{setting: run}`.

    Args:
        run: Settings, whose `teacher` and `initial` may name a stage.
        plan: Every `Planned` of the experiment.
    """
    needed = {}
    for setting in ("teacher", "initial"):
        if run[setting] is None:
            continue
        alike = ("dataset", "network", "network_arguments")
        found = [
            planned.run
            for planned in plan
            if planned.place == run[setting]["stage"]
            and all(planned.run[name] == run[name] for name in alike)
        ]
        if not found:
            raise ValueError(
                f"`{setting}` must name a stage of the experiment that trains "
                f"the run's network. Received: {setting}={run[setting]}"
            )
        # Of several seeds that of the run.
        same = [other for other in found if other["seed"] == run["seed"]]
        needed[setting] = (same or found)[0]
    return needed


def is_float(run):
    """Whether nothing is quantized."""
    return min(run["bits"]) == 32


def label(run):
    """What tells a run from the default, for people: 'bits=[1, 1], ...'."""
    return ", ".join(
        f"{name}={value}"
        for name, value in run.items()
        if name in ("bits", "estimator", "learning_rate", "seed")
        or value != DEFAULTS[name]
    )
