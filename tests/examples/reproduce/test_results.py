"""The published figures are those of the committed lines."""

import pathlib
import re
import shutil

from examples.reproduce import __main__, runs
from examples.reproduce.store import Store

DOCS = pathlib.Path(__file__).parents[3] / "docs"


def test_study_is_what_its_lines_say(tmp_path):
    shutil.copytree(DOCS / "results" / "study", tmp_path / "study")
    (tmp_path / "study" / "study.md").unlink()
    __main__.main(
        ["study", "--scale", "small", "--report"]
        + ["--output", str(tmp_path / "study")]
    )
    made = (tmp_path / "study" / "study.md").read_text()
    assert made == (DOCS / "results" / "study" / "study.md").read_text()

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
