"""Figures show what the committed lines say."""

import argparse
import pathlib
import shutil

import numpy as np
import pytest

from examples.reproduce import __main__, figures, runs
from examples.reproduce.store import Store

DOCS = pathlib.Path(__file__).parents[3] / "docs"


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


@pytest.mark.parametrize("kind", ["blend", "histograms"])
def test_runs_without_what_a_figure_shows_are_left_out(tmp_path, kind):
    args = argparse.Namespace(output=tmp_path, scale="small")
    lines = figures.write({"kind": kind}, [{"backend": "jax"}], args)
    assert "TensorFlow" in lines[0]
    assert not list(tmp_path.iterdir())
