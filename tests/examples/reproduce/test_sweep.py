"""Configurations become runs, runs become lines, lines become tables."""

import argparse
import subprocess
import time

import pytest

from examples.reproduce import __main__, runs, training
from examples.reproduce.store import Store
from examples.reproduce.sweep import Sweep


@pytest.mark.slow
def test_a_killed_sweep_continues(noise, tmp_path, monkeypatch):
    command = ["study", "--scale", "smoke", "--output", str(tmp_path)]
    config = runs.load("study")
    config["scale"]["smoke"] = {
        "network": "Small",
        "epochs": 3,
        "batch_size": 32,
        "train_images": 128,
        "test_images": 64,
        "curve_images": 32,
    }
    config["stage"] = [
        {"name": runs.SEARCH, "learning_rate": [0.01, 0.001]},
        {"name": "main", "learning_rate": "best", "seed": [0, 1]},
    ]
    monkeypatch.setattr(runs, "load", lambda name: config)

    class Killed(Exception):
        pass

    original = training.Curves.on_epoch_end
    epochs = []

    def killed(self, epoch, logs):
        original(self, epoch, logs)
        epochs.append(epoch)
        if len(epochs) == 5:
            raise Killed

    monkeypatch.setattr(training.Curves, "on_epoch_end", killed)
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


class Child:
    """Stands in for a process that trains a run: each poll is one step."""

    running = []

    def __init__(self, command):
        self.name = command[-1]
        self.arguments = vars(__main__.parse(command[3:]))
        self.steps = 3
        Child.running.append(self.name)

    def poll(self):
        self.steps -= 1
        if self.steps:
            return None
        Child.running.remove(self.name)
        pending = {
            runs.identifier(run): run
            for run in Sweep(argparse.Namespace(**self.arguments)).pending()
        }
        self.returncode = int(pending[self.name]["seed"] == 2)
        if self.returncode == 0:
            Store(self.arguments["output"] / "results.jsonl").append(
                {"run": pending[self.name], "validation_accuracy": 0.5}
            )
        return self.returncode


@pytest.mark.slow
def test_jobs_run_in_processes_of_their_own(tmp_path, monkeypatch):
    most = []
    monkeypatch.setattr(subprocess, "Popen", Child)
    monkeypatch.setattr(
        time, "sleep", lambda _: most.append(len(Child.running))
    )
    command = ["study", "--scale", "small", "--output", str(tmp_path)]
    with pytest.raises(SystemExit, match="failed"):
        __main__.main([*command, "--jobs", "3"])
    assert max(most) == 3
    # All are done but those that failed, the ones with seed 2.
    pending = Sweep(__main__.parse(command)).pending()
    assert {run["seed"] for run in pending} == {2}
    best = {run["learning_rate"] for run in pending}
    assert "best" not in best
