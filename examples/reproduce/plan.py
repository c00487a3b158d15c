"""What is to be done: the runs, the seconds of each, and which are finished."""

import collections
import statistics

from examples.reproduce import report, runs, store

# What the seconds of an epoch depend on most, of networks that are alike.
_COSTLY = ("dataset", "network", "network_arguments", "batch_size", "dtype")


def table(sweep):
    """Returns the plan as Markdown.

    Seconds are those of the finished runs; for others they are estimated, with
    "about" in front, from the epochs that they or runs of the same network have
    done.

    Args:
        sweep: A `Sweep`.
    """
    finished = sweep.finished()
    measured = _measured(sweep, finished)
    planned = {}
    for place, run in ((p.place, p.run) for p in sweep.resolved()):
        planned.setdefault(runs.key(run), (place, run))
    usual = {
        name: collections.Counter(
            str(run[name]) for _, run in planned.values()
        ).most_common(1)[0][0]
        for name in runs.DEFAULTS
    }
    rows, left, unknown = [], 0.0, 0
    for key, (place, run) in planned.items():
        epochs = f"{run['epochs']}"
        if key in finished:
            seconds = f"{_seconds(finished[key]):.0f}"
            state = f"finished, {finished[key]['test_accuracy']:.4f}"
        else:
            done = len(store.epochs(sweep.folder(run) / "curves.jsonl"))
            state = f"{done} of {epochs} epochs" if done else "waiting"
            seconds = "unknown"
            found = measured.get(_alike(run))
            if found is None:
                unknown += 1
            else:
                epoch, around = found
                rest = epoch * (run["epochs"] - done) + around
                left += rest
                seconds = f"about {rest:.0f}"
        place = " ".join(place) if isinstance(place, tuple) else place
        rows.append(
            [runs.identifier(run), place, _told(run, usual), epochs]
            + [seconds, state]
        )
    done = sum(key in finished for key in planned)
    known = len(planned) - done - unknown
    said = f"{done} of {len(planned)} runs are finished"
    if known:
        said += f"; {known} will take about {left:.0f} s one after the other"
    if unknown:
        said += f"; {unknown} will take an unknown time"
    if len(sweep.resolved()) < len(sweep.plan):
        said += "; others wait for the learning rate that is the best"
    head = ["id", "of", "run", "epochs", "seconds", "state"]
    return "\n".join([*report.markdown(head, rows), "", f"{said}."])


def _told(run, usual):
    """What tells a run from most others of the plan."""
    return ", ".join(
        f"{name} {report.setting(run[name])}"
        for name in usual
        if str(run[name]) != usual[name]
    )


def _seconds(record):
    return record["seconds"] + record.get("seconds_around", 0.0)


def _alike(run):
    return str([run[name] for name in _COSTLY] + [run["train_images"]])


def _measured(sweep, finished):
    """`{network: (seconds of an epoch, seconds of all else)}`."""
    epochs, around = {}, {}
    for record in finished.values():
        run = {**runs.DEFAULTS, **record["run"]}
        epochs.setdefault(_alike(run), []).extend(
            line["seconds"] for line in record["epochs"]
        )
        around.setdefault(_alike(run), []).append(
            record.get("seconds_around", 0.0)
        )
    for run in (p.run for p in sweep.plan if runs.key(p.run) not in finished):
        lines = store.epochs(sweep.folder(run) / "curves.jsonl")
        epochs.setdefault(_alike(run), []).extend(
            line["seconds"] for line in lines
        )
    return {
        name: (
            statistics.median(seconds),
            statistics.median(around.get(name, [0.0])),
        )
        for name, seconds in epochs.items()
        if seconds
    }
