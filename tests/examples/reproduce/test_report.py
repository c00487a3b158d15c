"""The published figures are those of the committed lines."""

import pathlib
import re
import shutil

import numpy as np
import pytest

from examples.reproduce import __main__, figures, runs
from examples.reproduce.store import Store

DOCS = pathlib.Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize(
    "experiment", sorted(path.name for path in (DOCS / "results").iterdir())
)
def test_what_is_published_is_what_its_lines_say(tmp_path, experiment):
    published = DOCS / "results" / experiment
    made = tmp_path / experiment
    shutil.copytree(published, made)
    page = f"{experiment}.md"
    (made / page).unlink()
    __main__.main(
        [experiment, "--scale", "small", "--report", "--output", str(made)]
    )
    assert (made / page).read_text() == (published / page).read_text()


def test_rows_of_the_study_are_those_of_its_page():
    made = (DOCS / "results" / "study" / "study.md").read_text()
    results = (DOCS / "results.md").read_text()
    (section,) = re.findall(r"## Study.*?(?=\n## )", results, re.DOTALL)
    rows = re.findall(r"^\|.*\|$", section, re.MULTILINE)
    assert rows
    assert [row for row in rows if row not in made] == []
    for image in re.findall(r"\((results/.*?\.png)\)", section):
        assert (DOCS / image).exists()


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


def test_blend_figure_shows_both_accuracies_of_each_width(
    tmp_path, monkeypatch
):
    study = DOCS / "results" / "study" / "results.jsonl"
    shutil.copy(study, tmp_path)
    config = runs.load("study")
    config["stage"] = [
        {
            "name": "blend",
            "learning_rate": [0.01],
            "bits": [[1, 1], [3, 3]],
            "figure": {"kind": "blend"},
        }
    ]
    monkeypatch.setattr(runs, "load", lambda name: config)
    drawn, save = [], figures._save
    monkeypatch.setattr(
        figures, "_save", lambda *args: drawn.append(args[0]) or save(*args)
    )
    __main__.main(
        ["study", "--scale", "small", "--report", "--output", str(tmp_path)]
    )
    assert "(blend.png)" in (tmp_path / "study.md").read_text()
    assert (tmp_path / "blend.png").exists()
    (figure,) = drawn
    finished = {runs.key(line["run"]): line for line in Store(study)}
    records = {
        tuple(p.run["bits"]): finished[runs.key(p.run)]["epochs"]
        for p in runs.expand(config, "small")
    }
    for axis, bits in zip(figure.axes, [(1, 1), (3, 3)], strict=True):
        assert axis.get_title() == "{}/{}".format(*bits)
        for line, kind in zip(axis.get_lines(), ["hard", "soft"], strict=True):
            np.testing.assert_array_equal(
                line.get_ydata(),
                [
                    epoch[f"{kind}_validation_accuracy"]
                    for epoch in records[bits]
                ],
            )
