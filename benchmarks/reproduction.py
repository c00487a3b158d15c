"""How long experiments of examples.reproduce would take on this machine.

Each network of the plan is built and takes a few steps of training and of
evaluation on made-up images; what a run does of each is counted. Runs that
experiments share count once. Images from files are read and decoded at
`--image-rate` (images per second, see benchmarks/input_pipeline.py), by the
same cores.

    python benchmarks/reproduction.py table1 figure5 --scale small
"""

import argparse
import pathlib
import statistics
import sys
import time
import types

import numpy as np
import rich
import rich.table

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from examples.reproduce import (  # noqa: E402
    imagenet,
    runs,
    tensorflow_training,
)

# Images of training, validation and test.
IMAGES = {
    "cifar10": (45_000, 5_000, 10_000),
    "cifar100": (45_000, 5_000, 10_000),
    "imagenet": (1_268_355, 12_812, 50_000),
}
CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet": 1000}
EVALUATED = 500  # Images in a batch of evaluation.


def median_time(function, repeats):
    """Returns the seconds of the first call and the median of the others."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return times[0], statistics.median(times[1:])


def counts(run):
    """Returns how many steps a run does, and how many images it evaluates."""
    trained, held_out, tested = IMAGES[run["dataset"]]
    trained = min(trained, run["train_images"] or trained)
    held_out = min(held_out, run["test_images"] or held_out)
    tested = min(tested, run["test_images"] or tested)
    # After each epoch: training and held-out images, hard, and the latter
    # again by the blend.
    passes = 2 if runs.is_float(run) else 3
    curves = passes * run["curve_images"] * run["epochs"]
    steps = trained // run["batch_size"] * run["epochs"]
    return steps, curves + held_out + tested


def timings(run, repeats):
    """Returns the seconds of starting, of a step and of an evaluated image."""
    size = run["image_size"] or imagenet.CROP
    shape = (size, size, 3) if run["dataset"] == "imagenet" else (32, 32, 3)
    rng = np.random.default_rng(0)

    def batch(count):
        images = rng.standard_normal((count, *shape), "float32")
        return images, rng.integers(0, CLASSES[run["dataset"]], count)

    data = types.SimpleNamespace(
        image_shape=shape, classes=CLASSES[run["dataset"]], steps=100
    )
    began = time.perf_counter()
    model = tensorflow_training.build(run, data)
    built = time.perf_counter() - began
    trained, evaluated = batch(run["batch_size"]), batch(EVALUATED)
    first, step = median_time(lambda: model.train_on_batch(*trained), repeats)
    again, look = median_time(lambda: model.test_on_batch(*evaluated), repeats)
    return built + first + again, step, look / EVALUATED


def network(run):
    """What the time of a step depends on."""
    names = ("network", "network_arguments", "bits", "batch_size", "dataset")
    return str([run[name] for name in (*names, "image_size")])


def time_some(planned, number, repeats):
    """Returns the `timings` of each network, `{network(run): timings}`.

    Of more than `number` networks, so many are timed, evenly spread over the
    plan; the others are taken for their mean.
    """
    networks = {network(run): run for run in planned}
    chosen = np.linspace(0, len(networks) - 1, min(number, len(networks)))
    names = list(networks)
    timed = {
        names[round(index)]: timings(networks[names[round(index)]], repeats)
        for index in chosen
    }
    mean = np.mean(list(timed.values()), axis=0) if timed else None
    return {name: timed.get(name, mean) for name in networks}


def main():
    parser = argparse.ArgumentParser(
        formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("experiments", nargs="+", choices=runs.NAMES)
    add("--scale", choices=runs.SCALES, default="small")
    add("--networks", type=int, default=8, help="timed in an experiment")
    add("--repeats", type=int, default=2, help="steps that are timed")
    add("--image-rate", type=float, default=300, help="images per second")
    args = parser.parse_args()

    table = rich.table.Table(
        *("experiment", "runs", "steps", "step (ms)", "minutes"),
        title=f"Scale: {args.scale}",
    )
    planned, total = set(), 0
    for name in args.experiments:
        new = {
            runs.key(p.run): p.run
            for p in runs.expand(runs.load(name), args.scale)
        }
        new = {key: new[key] for key in new if key not in planned}
        planned |= new.keys()
        timed = time_some(list(new.values()), args.networks, args.repeats)
        seconds, all_steps = 0, 0
        for run in new.values():
            steps, looks = counts(run)
            start, step, look = timed[network(run)]
            seconds += start + steps * step + looks * look
            if run["dataset"] == "imagenet":
                read = steps * run["batch_size"] + looks
                seconds += read / args.image_rate
            all_steps += steps
        step_times = [step for _, step, _ in timed.values()]
        total += seconds
        if new:
            table.add_row(
                *(name, str(len(new)), str(all_steps)),
                f"{1000 * min(step_times):.0f} to {1000 * max(step_times):.0f}",
                f"{seconds / 60:.0f}",
            )
    rich.print(table)
    print(f"{len(planned)} runs, {total / 3600:.2f} hours")


if __name__ == "__main__":
    main()
