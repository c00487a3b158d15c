"""The published figures are those of the committed lines."""

import json
import pathlib
import re
import shutil

import pytest

from examples.reproduce import __main__, report, runs
from examples.reproduce.store import Store

DOCS = pathlib.Path(__file__).parents[3] / "docs"


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    sorted(
        str(path.relative_to(DOCS / "results"))
        for path in (DOCS / "results").glob("*/*.md")
        if path.stem in runs.NAMES
    ),
)
def test_what_is_published_is_what_its_lines_say(tmp_path, page):
    published = DOCS / "results" / page
    made = tmp_path / page
    shutil.copytree(published.parent, made.parent)
    made.unlink()
    expected = published.read_text()
    (scale,) = re.findall(r"^Scale: (\w+)\.", expected, re.MULTILINE)
    output = ["--output", str(made.parent)]
    __main__.main([made.stem, "--scale", scale, "--report", *output])
    assert made.read_text() == expected


def test_rows_of_the_study_are_those_of_its_page():
    made = (DOCS / "results" / "study" / "study.md").read_text()
    rows = re.findall(r"^\|.*\|$", section("Study"), re.MULTILINE)
    assert rows
    assert [row for row in rows if row not in made] == []
    for image in re.findall(r"\((results/.*?\.png)\)", section("Study")):
        assert (DOCS / image).exists()


def section(title):
    text = (DOCS / "results.md").read_text()
    return re.findall(rf"## {title}.*?(?=\n## )", text, re.DOTALL)[0]


def test_backends_are_compared_by_their_lines():
    found = {}
    for line in Store(DOCS / "results" / "backends" / "results.jsonl"):
        by_backend = found.setdefault((line["run"]["seed"], line["id"]), {})
        by_backend[line["backend"]] = line["test_accuracy"]
    rows = re.findall(
        r"\| (\d) \((\w+)\) \| ([\d.]+) \| ([\d.]+) \|",
        section("TensorFlow and JAX"),
    )
    assert found == {
        (int(seed), name): {"tensorflow": float(tf), "jax": float(jax)}
        for seed, name, tf, jax in rows
    }


def test_fine_tuning_to_3_bits_is_that_of_its_file():
    path = DOCS / "results" / "finetune" / "3-bit.json"
    text = (DOCS / "results.md").read_text()
    for run in json.loads(path.read_text())["runs"]:
        row = [run["network"], run["bits"], run["epochs"]]
        row += [run["test_accuracy"], f"{run['packed_bytes']:,} bytes"]
        assert f"| {' | '.join(map(str, row))} |" in text


def test_study_says_how_far_it_is():
    lines = list(Store(DOCS / "results" / "study" / "results.jsonl"))
    finished = {runs.key(line["run"]) for line in lines}
    # How many runs there are does not depend on which rate is the best.
    planned = {
        runs.key(
            {**p.run, "learning_rate": 0.01}
            if p.run["learning_rate"] == "best"
            else p.run
        )
        for p in runs.expand(runs.load("study"), "small")
    }
    # A plan that changes keeps what was trained.
    assert finished <= planned
    (said,) = re.findall(
        r"(\d+) of the plan's (\d+) runs", (DOCS / "results.md").read_text()
    )
    assert said == (str(len(finished)), str(len(planned)))


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


@pytest.mark.parametrize(
    "device, said",
    [
        ({}, "2 cores"),
        ({"device": "CPU"}, "2 cores"),
        ({"device": "NVIDIA H200"}, "NVIDIA H200"),
    ],
)
def test_the_page_says_what_trained(tmp_path, monkeypatch, device, said):
    config = {
        "title": "One run",
        "run": {},
        "scale": {"smoke": {}},
        "stage": [{"name": "runs"}],
    }
    monkeypatch.setattr(runs, "load", lambda name: config)
    record = {
        "run": runs.DEFAULTS,
        "test_accuracy": 0.5,
        "validation_accuracy": 0.5,
        "seconds": 7200,
        "machine": "2 cores",
        **device,
    }
    Store(tmp_path / "results.jsonl").append(record)
    __main__.main(
        ["study", "--scale", "smoke", "--report", "--output", str(tmp_path)]
    )
    text = (tmp_path / "study.md").read_text()
    assert f"2.0 hours of training in all, on {said}." in text
