"""From a configuration file to the settings of its runs."""

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

# What a run is when its configuration does not say otherwise.
DEFAULTS = {
    "dataset": "cifar10",
    "train_images": None,
    "test_images": None,
    "augment": True,
    "network": "MINWNet",
    "network_arguments": {},
    "bits": [1, 1],
    "estimator": "aqe",
    "gradient": "2 alpha",
    "stochastic": False,
    "schedule": {"kind": "Linear"},
    "kernel_thresholds": None,
    "input_thresholds": None,
    "optimizer": "Adam",
    "optimizer_arguments": {},
    "learning_rate": 0.01,
    "decay": {"kind": "exponential", "to": 0.02},
    "batch_size": 128,
    "epochs": 10,
    "curve_images": 2_000,
    "seed": 0,
}


def load(name):
    """Returns the configuration `configs/<name>.toml` as a dictionary."""
    return tomllib.loads((CONFIGS / f"{name}.toml").read_text())


def expand(config, scale):
    """Yields `(stage, run)` for each run, in order.

    A configuration has `[run]`, settings of all its runs, `[scale.<name>]`,
    which override them, and a list of `[[stage]]`, each with settings of its
    own; `only` in a scale names the stages it runs. A setting that is a list
    stands for one run per entry, the last such setting varying fastest.
    """
    scaled = dict(config["scale"][scale])
    only = scaled.pop("only", None)
    for stage in config["stage"]:
        if only is not None and stage["name"] not in only:
            continue
        settings = {**config["run"], **stage, **scaled}
        del settings["name"]
        unknown = sorted(settings.keys() - DEFAULTS.keys())
        if unknown:
            raise ValueError(
                f"Stage {stage['name']!r} has unknown settings {unknown}. "
                f"Known: {sorted(DEFAULTS)}"
            )
        axes = [name for name in settings if isinstance(settings[name], list)]
        for values in itertools.product(*(settings[axis] for axis in axes)):
            run = {**DEFAULTS, **settings, **dict(zip(axes, values))}
            yield stage["name"], run


def key(run):
    """A string that is equal for equal settings, whatever their order."""
    return json.dumps(run, sort_keys=True)


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
            f"`learning_rate = 'best'` needs a stage {SEARCH!r} with "
            f"the estimator of the run. Received: {label(run)}"
        )
    best = max(accuracies, key=lambda rate: statistics.mean(accuracies[rate]))
    return {**run, "learning_rate": best}


def _kind(run):
    return "float" if run["bits"] == [32, 32] else run["estimator"]


def label(run):
    """What tells a run from the default, for people: 'bits=[1, 1], ...'."""
    return ", ".join(
        f"{name}={value}"
        for name, value in run.items()
        if name in ("bits", "estimator", "learning_rate", "seed")
        or value != DEFAULTS[name]
    )
