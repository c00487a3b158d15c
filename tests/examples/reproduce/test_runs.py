"""Configurations become runs."""

import json

import pytest

import keras_aqe as aqe
from examples.reproduce import runs


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
