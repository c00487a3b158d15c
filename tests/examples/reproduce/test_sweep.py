"""Configurations become runs, runs become lines, lines become tables."""

import argparse
import collections
import subprocess
import threading
import time

import pytest

from examples.reproduce import __main__, runs, tensorflow_training, training
from examples.reproduce.store import Store
from examples.reproduce.sweep import Sweep


@pytest.mark.program
def test_a_killed_sweep_continues(noise, tmp_path, monkeypatch):
    command = ["study", "--scale", "smoke", "--output", str(tmp_path)]
    config = runs.load("study")
    config["scale"]["smoke"] = {
        "network": "Small",
        "epochs": 3,
        "batch_size": 32,
        "train_images": 96,
        "test_images": 32,
        "curve_images": 32,
    }
    config["stage"] = [
        {"name": runs.SEARCH, "learning_rate": [0.01, 0.001]},
        {"name": "main", "learning_rate": "best", "seed": [0, 1]},
    ]
    monkeypatch.setattr(runs, "load", lambda name: config)

    class Killed(Exception):
        pass

    curves = tensorflow_training.Curves
    original = curves.on_epoch_end
    epochs = []

    def killed(self, epoch, logs):
        original(self, epoch, logs)
        epochs.append(epoch)
        if len(epochs) == 5:
            raise Killed

    monkeypatch.setattr(curves, "on_epoch_end", killed)
    with pytest.raises(Killed):
        __main__.main(command)
    store = Store(tmp_path / "results.jsonl")
    assert len(list(store)) == 1
    __main__.main(command)
    # Two rates; the better one again with another seed.
    records = list(store)
    assert [record["run"]["seed"] for record in records] == [0, 0, 1]
    best = max(records[:2], key=lambda r: r["validation_accuracy"])
    assert records[2]["run"]["learning_rate"] == best["run"]["learning_rate"]
    assert not list(tmp_path.glob("runs/*/backup"))
    # The run that was broken off went on after its last whole epoch.
    assert epochs == [0, 1, 2, 0, 1, 2, 0, 1, 2]
    for record in records:
        assert [epoch["epoch"] for epoch in record["epochs"]] == [1, 2, 3]
        assert record["epochs"][-1]["alpha"] == 1.0


class Child(threading.Thread):
    """Stands in for a process of `--jobs`."""

    def __init__(self, command, env):
        super().__init__()
        assert env["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
        self.args = __main__.parse(command[3:])
        assert self.args.worker
        self.start()

    def run(self):
        self.failed = Sweep(self.args).share()

    def wait(self):
        self.join()
        return len(self.failed)


@pytest.mark.slow
def test_jobs_share_the_runs(tmp_path, monkeypatch):
    trained, running, most = [], [], []

    def train(run, folder, args, sources, strategy):
        running.append(folder)
        most.append(len(running))
        time.sleep(0.02)
        running.remove(folder)
        trained.append(runs.key(run))
        if run["seed"] == 2:
            raise ValueError("seed 2")
        return {
            "run": run,
            "validation_accuracy": 0.5,
            "test_accuracy": 0.5,
            "seconds": 1.0,
        }

    monkeypatch.setattr(subprocess, "Popen", Child)
    monkeypatch.setattr(training, "train", train)
    # Rates are searched, and the best is trained on several seeds.
    config = runs.load("study")
    config["stage"] = config["stage"][:2]
    monkeypatch.setattr(runs, "load", lambda name: config)
    command = ["study", "--scale", "small", "--output", str(tmp_path)]
    with pytest.raises(SystemExit, match="failed"):
        __main__.main([*command, "--jobs", "3"])
    assert max(most) == 3
    # All are done but those that failed, the ones with seed 2.
    pending = Sweep(__main__.parse(command)).pending()
    assert {run["seed"] for run in pending} == {2}
    best = {run["learning_rate"] for run in pending}
    assert "best" not in best
    # None was trained twice, but what failed, by each of the three at most.
    counts = collections.Counter(trained)
    failed = {runs.key(run) for run in pending}
    assert all(counts[key] <= 3 for key in failed)
    assert all(counts[key] == 1 for key in counts.keys() - failed)


def test_a_run_waits_for_the_networks_that_it_needs(tmp_path, monkeypatch):
    config = {
        "run": {},
        "scale": {"smoke": {}},
        "stage": [
            {"name": "taught", "teacher": {"stage": "float", "share": 0.5}},
            {"name": "float", "bits": [[32, 32]], "seed": [1, 0]},
        ],
    }
    monkeypatch.setattr(runs, "load", lambda name: config)
    command = ["study", "--scale", "smoke", "--output", str(tmp_path)]
    sweep = Sweep(__main__.parse(command))
    assert [run["seed"] for run in sweep.pending()] == [1, 0]
    taught = sweep.plan[0].run
    source = runs.sources(taught, sweep.plan)["teacher"]
    assert (source["bits"], source["seed"]) == ([32, 32], 0)
    sweep.store.append({"run": source, "validation_accuracy": 0.5})
    assert taught in sweep.pending()
    config["stage"].pop()
    with pytest.raises(ValueError, match="must name a stage"):
        Sweep(__main__.parse(command)).pending()


def test_nothing_begins_once_the_time_is_up(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "train", None)
    command = ["study", "--scale", "smoke", "--output", str(tmp_path)]
    __main__.main([*command, "--budget", "0"])
    assert not list(Store(tmp_path / "results.jsonl"))


@pytest.mark.parametrize(
    "done, text",
    [(0, "1 of 4"), (1, "2 of 4, about 15 min left"), (3, "4 of 4, about 5")],
)
def test_how_many_runs_and_how_much_time_are_left(tmp_path, done, text):
    config = {
        **runs.load("study"),
        "scale": {"tiny": {"network": "Small"}},
        "stage": [{"name": "main", "learning_rate": 0.1, "seed": [0, 1, 2, 3]}],
    }
    args = argparse.Namespace(
        experiment="study", scale="tiny", output=tmp_path, jobs=2
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "load", lambda name: config)
        sweep = Sweep(args)
    for planned in sweep.plan[:done]:
        sweep.store.append(
            {"run": planned.run, "seconds": 600, "validation_accuracy": 0.5}
        )
    assert sweep.place().startswith(text)
