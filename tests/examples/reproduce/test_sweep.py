"""Configurations become runs, runs become lines, lines become tables."""

import argparse
import json
import multiprocessing
import subprocess
import time
import tomllib

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_aqe as aqe
from examples import train_cifar10
from examples.reproduce import __main__, report, runs, training, variants
from examples.reproduce.store import Store
from examples.reproduce.sweep import Sweep
from tests.examples.reproduce import on_noise, test_imagenet


@pytest.fixture
def noise(monkeypatch):
    """Made-up images, and no graphs, which take longer than two steps."""
    monkeypatch.setattr(train_cifar10, "load_cifar10", on_noise.load_cifar10)
    monkeypatch.setattr(aqe.models, "Small", on_noise.Small, raising=False)
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize("scale", runs.SCALES)
@pytest.mark.parametrize("name", runs.NAMES)
def test_configurations_expand(name, scale):
    planned = list(runs.expand(runs.load(name), scale))
    assert planned
    for run in (p.run for p in planned):
        assert run.keys() == runs.DEFAULTS.keys()
        assert hasattr(aqe.models, run["network"])
        json.dumps(run)


def test_tables_have_the_papers_rows():
    def count(name):
        planned = runs.expand(runs.load(name), "full")
        return len({runs.key(p.run) for p in planned})

    # Widths times models; the second table has the STE as a row more.
    assert count("table1") == 16 * 4
    assert count("table2") == 17 * 4
    assert [count(f"table{n}") for n in (3, 4, 5)] == [4 * 2, 7, 5]


def test_lists_are_axes_and_a_scale_overrides():
    config = {
        "run": {"batch_size": 8, "bits": [[1, 1]]},
        "scale": {"smoke": {"epochs": 3, "rows": ["b"]}},
        "row": [{"label": "a"}, {"label": "b", "epochs": 5, "paper": {}}],
        "column": [{"label": "c", "seed": [0, 1], "estimator": ["aqe", "ste"]}],
    }
    planned = list(runs.expand(config, "smoke"))
    assert {p.place for p in planned} == {("b", "c")}
    assert [(p.run["seed"], p.run["estimator"]) for p in planned] == [
        (0, "aqe"),
        (0, "ste"),
        (1, "aqe"),
        (1, "ste"),
    ]
    assert {p.run["epochs"] for p in planned} == {3}


def test_default_is_one_of_several_values():
    config = {
        "run": {"input_thresholds": ["default", {"at": [0.3]}]},
        "scale": {"smoke": {}},
        "stage": [{"name": "thresholds", "schedule": "default"}],
    }
    default, other = [p.run for p in runs.expand(config, "smoke")]
    assert default == runs.DEFAULTS
    assert other == {**runs.DEFAULTS, "input_thresholds": {"at": [0.3]}}


@pytest.mark.parametrize("scaled", [{"epoch": 3}, {"rows": ["z"]}])
def test_unknown_names_are_refused(scaled):
    config = {"run": {}, "scale": {"smoke": scaled}, "row": [{"label": "a"}]}
    config["column"] = [{"label": "c"}]
    with pytest.raises(ValueError, match="epoch|z"):
        list(runs.expand(config, "smoke"))


def test_key_does_not_depend_on_order_or_on_new_defaults(monkeypatch):
    run = {**runs.DEFAULTS, "seed": 3}
    assert runs.key(run) == runs.key(dict(reversed(run.items())))
    before = runs.identifier(run)
    monkeypatch.setitem(runs.DEFAULTS, "new", 1)
    assert runs.identifier({**run, "new": 1}) == before
    assert runs.identifier({**run, "new": 2}) != before


def test_best_learning_rate_is_that_of_the_estimator_and_the_mean():
    def run(estimator, rate, bits):
        return {
            **runs.DEFAULTS,
            "estimator": estimator,
            "learning_rate": rate,
            "bits": bits,
        }

    accuracies = {
        ("aqe", 1.0): (0.5, 0.9),
        ("aqe", 2.0): (0.6, 0.6),
        ("ste", 1.0): (0.1, 0.2),
        ("ste", 2.0): (0.2, 0.2),
    }
    results = {}
    for (estimator, rate), pair in accuracies.items():
        for bits, accuracy in zip(([1, 1], [3, 3]), pair):
            results[runs.key(run(estimator, rate, bits))] = accuracy
    searched = [run(e, r, b) for e, r in accuracies for b in ([1, 1], [3, 3])]
    for estimator, best in (("aqe", 1.0), ("ste", 2.0)):
        asked = run(estimator, "best", [2, 2])
        found = runs.resolve(asked, searched, results)
        assert found == {**asked, "learning_rate": best}
    del results[runs.key(searched[0])]
    assert runs.resolve(run("aqe", "best", [2, 2]), searched, results) is None
    with pytest.raises(ValueError, match="learning rate"):
        runs.resolve(run("aqe", "best", [32, 32]), searched, results)


def append(path, start):
    for number in range(start, start + 50):
        Store(path).append({"number": number, "padding": "x" * 5000})


def test_lines_of_several_processes_and_of_a_killed_one(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text('{"number": 0}\n{"numb')
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=append, args=(path, start)) for start in (1, 51)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(line["number"] for line in Store(path)) == list(range(101))


@pytest.mark.parametrize("name", runs.NAMES)
def test_smoke(noise, name, tmp_path, monkeypatch, capsys):
    test_imagenet.make_folder(tmp_path / "images", classes=3, count=40)
    command = [
        *(name, "--scale", "smoke", "--output", str(tmp_path / "output")),
        *("--image-folder", str(tmp_path / "images")),
    ]
    __main__.main(command)
    planned = runs.expand(runs.load(name), "smoke")
    keys = {runs.key(p.run) for p in planned}
    store = Store(tmp_path / "output" / "results.jsonl")
    assert {runs.key(record["run"]) for record in store} == keys
    for record in store:
        folder = tmp_path / "output" / "runs" / record["id"]
        model = keras.models.load_model(folder / "model.keras")
        assert all(q.alpha > 0.5 for q in aqe.callbacks.find(model))
        assert 0 <= record["test_accuracy"] <= 1
    text = (tmp_path / "output" / f"{name}.md").read_text()
    assert f"{len(keys)} of {len(keys)} runs" in text

    # A second time there is nothing left to train.
    monkeypatch.setattr(training, "train", None)
    __main__.main(command)
    assert text.strip() in capsys.readouterr().out


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


def test_a_run_that_ends_below_alpha_1_is_recalibrated(
    noise, tmp_path, monkeypatch
):
    config = """
        title = "Blend"
        [run]
        network = "Small"
        schedule = [{ kind = "Constant", value = 0.5 }, { kind = "Linear" }]
        [scale.smoke]
        train_images = 64
        epochs = 4
        batch_size = 16
        [[stage]]
        name = "schedule"
    """
    monkeypatch.setattr(runs, "load", lambda name: tomllib.loads(config))
    __main__.main(["study", "--scale", "smoke", "--output", str(tmp_path)])
    blend, hard = Store(tmp_path / "results.jsonl")
    assert 0 <= blend["recalibrated_test_accuracy"] <= 1
    assert "recalibrated_test_accuracy" not in hard
    path = tmp_path / "runs" / blend["id"] / "model.keras"
    model = keras.models.load_model(path)
    assert {float(q.alpha) for q in aqe.callbacks.find(model)} == {0.5}
    table = (tmp_path / "study.md").read_text()
    assert "recalibrated test" in table
    assert "| kind Constant, value 0.5 | 1 |" in table


def test_jobs_are_for_one_device(capsys):
    with pytest.raises(SystemExit):
        __main__.parse(["study", "--jobs", "2", "--strategy", "mirrored"])
    assert "--jobs" in capsys.readouterr().err


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


@pytest.mark.parametrize("forward", ["blend", "hard"])
@pytest.mark.parametrize("gradient", ["2 alpha", "1", "1 - alpha"])
@pytest.mark.parametrize("bits", [1, 3])
def test_forward_pass_and_factor_of_the_gradient(forward, gradient, bits):
    model = keras.Sequential(
        [
            keras.Input((5,)),
            aqe.layers.QuantActivation(aqe.quantizers.of_width(bits)),
        ]
    )
    x = tf.constant([[-1.5, -0.6, 0.1, 0.9, 1.0]])
    model.layers[0].quantizer.alpha.assign(0.75)
    expected = model(x, training=forward == "blend")
    run = {**runs.DEFAULTS, "forward": forward, "gradient": gradient}
    variants.apply(model, run)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x, training=True)
    np.testing.assert_array_equal(y, expected)
    factor = {"2 alpha": 1.5, "1": 1.0, "1 - alpha": 0.25}[gradient]
    np.testing.assert_allclose(
        tape.gradient(y, x), [[0, factor, factor, factor, factor]]
    )


def test_thresholds_are_those_of_the_role():
    model = aqe.models.MINWNet(
        "D", input_bits=2, weight_bits=3, filters=2, dense_units=4
    )
    run = {
        **runs.DEFAULTS,
        "kernel_thresholds": {"at": [0.2, 0.4, 0.8]},
        "input_thresholds": {"at": [0.3]},
    }
    variants.apply(model, run)
    kernel = model.get_layer("conv2").kernel_quantizer
    inputs = model.get_layer("conv1_quant").quantizer
    assert (kernel.thresholds, kernel.relative) == ((0.2, 0.4, 0.8), True)
    assert (inputs.thresholds, inputs.relative) == ((0.3,), False)


def test_weight_decay_is_added_to_the_loss():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    variants.apply(model, {**runs.DEFAULTS, "weight_decay": 0.1})
    kernel = model.layers[0].kernel.numpy()
    assert float(sum(model.losses)) == pytest.approx(
        0.05 * np.sum(kernel**2), rel=1e-6
    )


@pytest.mark.parametrize(
    "measure, expected",
    [("accuracy", "0.700 ± 0.141"), ("error", "30.00 ± 14.14")],
)
def test_cells_are_mean_and_deviation_over_seeds(measure, expected):
    config = {
        "run": {"seed": [0, 1]},
        "scale": {"full": {}},
        "row": [{"label": "r", "paper": {"c": 0.5}}],
        "column": [{"label": "c"}],
        "table": {"measure": measure, "rows": "row"},
    }
    finished = {
        runs.key(planned.run): {"test_accuracy": 0.6 + 0.2 * index}
        for index, planned in enumerate(runs.expand(config, "full"))
    }
    lines = report.table(config, "full", finished)
    assert any(expected in line for line in lines)


def test_accuracy_lost_is_against_the_float_row():
    config = {
        "run": {},
        "scale": {"full": {}},
        "row": [
            {"label": "r", "paper": {"c": 3.0}},
            {"label": "float", "bits": [[32, 32]]},
        ],
        "column": [{"label": "c"}],
        "table": {"measure": "loss", "rows": "row"},
    }
    accuracies = iter([0.5, 0.625])
    finished = {
        runs.key(planned.run): {"test_accuracy": next(accuracies)}
        for planned in runs.expand(config, "full")
    }
    lines = report.table(config, "full", finished)
    assert "| r | 12.5 (3.0) |" in lines
    assert "| float | 0.0 (-) |" in lines
