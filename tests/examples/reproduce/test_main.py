"""The command line: whole experiments, small."""

import keras
import pytest

import keras_aqe as aqe
from examples.reproduce import __main__, runs, training
from examples.reproduce.store import Store
from tests.examples.reproduce import test_imagenet

# The study, which draws all kinds of figures, and a table of ImageNet; the
# others do the same and take ten seconds each.
FEW = ("study", "table4")
# Its runs have settings that only JAX trains with.
ON_JAX = "estimator"


@pytest.mark.program
@pytest.mark.parametrize(
    "name",
    [
        *FEW,
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in runs.NAMES
            if name not in (*FEW, ON_JAX)
        ),
    ],
)
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


@pytest.mark.program
@pytest.mark.long
def test_smoke_on_jax(on_jax, tmp_path):
    found = on_jax(tmp_path, "smoke")["smoke"]
    planned = runs.expand(runs.load(ON_JAX), "smoke")
    assert set(found["runs"]) == {runs.key(p.run) for p in planned}
    assert found["same"]


def test_jobs_are_for_one_device(capsys):
    with pytest.raises(SystemExit):
        __main__.parse(["study", "--jobs", "2", "--strategy", "mirrored"])
    assert "--jobs" in capsys.readouterr().err
