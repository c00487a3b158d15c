"""The plan says what is done, what is left, and how long it takes."""

import json

import pytest

from examples.reproduce import __main__, runs
from examples.reproduce.sweep import Sweep


@pytest.fixture
def command(tmp_path, monkeypatch):
    config = {
        "run": {"epochs": 10},
        "scale": {"smoke": {}},
        "stage": [
            {"name": "seeds", "seed": [0, 1, 2, 3]},
            {"name": "wide", "network_arguments": {"filters": 99}},
        ],
    }
    monkeypatch.setattr(runs, "load", lambda name: config)
    return ["study", "--scale", "smoke", "--output", str(tmp_path), "--plan"]


def rows(command, capsys):
    __main__.main(command)
    *table, _, said = capsys.readouterr().out.strip().splitlines()
    cells = [line.strip("| ").split(" | ") for line in table[2:]]
    return {cell[0]: cell[1:] for cell in cells}, said


def test_seconds_of_what_is_left_are_those_of_what_is_done(command, capsys):
    sweep = Sweep(__main__.parse(command))
    first, second, *_ = [planned.run for planned in sweep.plan]
    before, said = rows(command, capsys)
    assert {row[-2] for row in before.values()} == {"unknown"}
    assert said == "0 of 5 runs are finished; 5 will take an unknown time."
    sweep.store.append(
        {
            "run": first,
            "validation_accuracy": 0.5,
            "test_accuracy": 0.5,
            "seconds": 20.0,
            "seconds_around": 3.0,
            "epochs": [{"seconds": 2.0}] * 10,
        }
    )
    folder = sweep.folder(second)
    folder.mkdir(parents=True)
    lines = [json.dumps({"epoch": n, "seconds": 2.0}) for n in (1, 2, 3, 4)]
    (folder / "curves.jsonl").write_text("\n".join(lines))
    after, said = rows(command, capsys)
    states = [row[-2:] for row in after.values()]
    assert states[0] == ["23", "finished, 0.5000"]
    assert states[1] == ["about 15", "4 of 10 epochs"]
    assert states[2] == ["about 23", "waiting"]
    assert states[4] == ["unknown", "waiting"]
    assert [row[1] for row in after.values()][1] == "seed 1"
    assert said == (
        "1 of 5 runs are finished; 3 will take about 61 s one after the "
        "other; 1 will take an unknown time."
    )
