"""One run: its files and its line of results."""

import tomllib

import keras
import pytest

import keras_aqe as aqe
from examples.reproduce import __main__, runs
from examples.reproduce.store import Store


@pytest.mark.slow
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
