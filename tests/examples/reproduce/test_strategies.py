"""Two workers or replicas train the same network as one process."""

import functools
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

import keras_aqe as aqe
from tests.examples.reproduce import on_noise

ROOT = pathlib.Path(__file__).parents[3]
SCRIPT = on_noise.__file__
EPOCHS, STEPS = 4, 6
CONFIG = f"""
title = "Two workers"

[run]
network = "Small"
augment = false
bits = [[1, 1]]
batch_size = 16
epochs = {EPOCHS}
train_images = {16 * STEPS}
curve_images = 32

[scale.smoke]

[[stage]]
name = "runs"
learning_rate = [0.02]
"""


@pytest.fixture
def start(tmp_path):
    """A function that starts the command; ends what is left over."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "two.toml").write_text(CONFIG)
    processes = []

    def start(output, *arguments, **environment):
        log = (tmp_path / f"log{len(processes)}.txt").open("w")
        processes.append(
            subprocess.Popen(
                [sys.executable, SCRIPT, tmp_path / "configs", "two"]
                + ["--scale", "smoke", "--output", tmp_path / output]
                + list(arguments),
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def workers(start, output):
    """Starts two workers that know each other."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(2)]
    addresses = [f"localhost:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    cluster = {"worker": addresses}
    return [
        start(
            output,
            *("--strategy", "multiworker"),
            TF_CONFIG=json.dumps(
                {"cluster": cluster, "task": {"type": "worker", "index": i}}
            ),
        )
        for i in range(2)
    ]


def curves(folder):
    """Returns the one finished run's curves, `{name: values by epoch}`."""
    (line,) = (folder / "results.jsonl").read_text().splitlines()
    record = json.loads(line)
    epochs = record["epochs"]
    assert [epoch["epoch"] for epoch in epochs] == list(range(1, EPOCHS + 1))
    return record, {
        name: np.array([epoch[name] for epoch in epochs])
        for name in epochs[0]
        if name not in ("epoch", "seconds")
    }


def epochs_written(folder):
    """Returns the epochs in the curves of the one run, finished or not."""
    paths = folder.glob("runs/*/curves.jsonl")
    lines = [line for path in paths for line in path.read_text().splitlines()]
    return [json.loads(line)["epoch"] for line in lines]


def one_process(folder, monkeypatch, output="one", strategy="none"):
    """Trains in this process."""
    on_noise.main(
        folder / "configs",
        ["two", "--scale", "smoke", "--output", str(folder / output)]
        + ["--strategy", strategy],
        functools.partial(monkeypatch.setattr, raising=False),
    )


def assert_same_curves(together, alone, replicas=2):
    together, found = curves(together)
    alone, expected = curves(alone)
    assert (together["replicas"], alone["replicas"]) == (replicas, 1)
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(
            found[name], expected[name], rtol=2e-4, err_msg=name
        )
    assert together["test_accuracy"] == alone["test_accuracy"]


# Half a minute, for three processes.
@pytest.mark.slow
@pytest.mark.long
def test_two_workers_have_the_curves_of_one_process(
    start, tmp_path, monkeypatch
):
    processes = workers(start, "two")
    one_process(tmp_path, monkeypatch)
    assert [process.wait() for process in processes] == [0, 0]
    assert_same_curves(tmp_path / "two", tmp_path / "one")


# A process has room for one network that is mirrored: TensorFlow keeps the
# shapes of what its replicas exchanged.
ON_REPLICAS = """
import functools, pathlib, sys
import tensorflow as tf
from tests.examples.reproduce import on_noise

devices = sys.argv[1].split(",")
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * len(devices),
)
tf.distribute.MirroredStrategy = functools.partial(
    tf.distribute.MirroredStrategy, devices
)
on_noise.main(pathlib.Path(sys.argv[2]), sys.argv[3:], setattr)
"""


@pytest.mark.slow
# As long, for two processes.
@pytest.mark.long
@pytest.mark.parametrize("devices", ["CPU:0", "CPU:0,CPU:1"])
def test_replicas_have_the_curves_of_one_device(
    start, tmp_path, monkeypatch, devices
):
    one_process(tmp_path, monkeypatch)
    subprocess.run(
        [sys.executable, "-c", ON_REPLICAS, devices, tmp_path / "configs"]
        + ["two", "--scale", "smoke", "--output", tmp_path / "replicas"]
        + ["--strategy", "mirrored"],
        cwd=ROOT,
        check=True,
    )
    replicas = len(devices.split(","))
    assert_same_curves(tmp_path / "replicas", tmp_path / "one", replicas)


@pytest.mark.long
def test_a_killed_worker_goes_on_from_the_last_checkpoint(
    start, tmp_path, monkeypatch
):
    first = workers(start, "killed")
    while len(epochs_written(tmp_path / "killed")) < 2:
        assert first[0].poll() is None
        time.sleep(0.01)
    first[1].kill()
    # The other notices that its peer is gone, or is ended by whoever
    # watches over the job.
    try:
        assert first[0].wait(timeout=5) != 0
    except subprocess.TimeoutExpired:
        first[0].kill()
    assert not (tmp_path / "killed" / "results.jsonl").exists()

    one_process(tmp_path, monkeypatch)
    second = workers(start, "killed")
    assert [process.wait() for process in second] == [0, 0]
    assert_same_curves(tmp_path / "killed", tmp_path / "one")
    _, found = curves(tmp_path / "killed")
    schedule = aqe.schedules.Linear()
    # The alpha of an epoch's last step.
    steps = STEPS * np.arange(1, EPOCHS + 1) - 1
    np.testing.assert_allclose(
        found["alpha"],
        [schedule(step / (STEPS * EPOCHS)) for step in steps],
        rtol=1e-4,
    )
    # Only what came after the last backup was trained again.
    assert epochs_written(tmp_path / "killed").count(1) == 1
