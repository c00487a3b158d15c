"""The example fine-tunes and writes its lines, with few layers and digits."""

import json

import keras
import pytest

from examples import finetune_mobilenet


@pytest.mark.program
def test_adds_a_line_for_each_run(few_layers, eager, monkeypatch, tmp_path):
    data = [part[:64] for part in finetune_mobilenet.load_images()]
    monkeypatch.setattr(finetune_mobilenet, "load_images", lambda: data)
    arguments = ["--output", str(tmp_path), "--float-epochs", "1"]
    arguments += ["--epochs", "3"]
    finetune_mobilenet.main([*arguments, "--seeds", "0", "1"])
    trained = (tmp_path / "float.keras").read_bytes()
    finetune_mobilenet.main([*arguments, "--depthwise-bits", "2", "3"])
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    first, second, narrow = map(json.loads, lines)
    assert [line["seed"] for line in (first, second, narrow)] == [0, 1, 0]
    assert first["depthwise_bits"] == second["depthwise_bits"] == [8, 4]
    assert narrow["packed_bytes"] <= first["packed_bytes"]
    assert 0 <= first["test_accuracy"] <= 1
    # The float network was trained once.
    assert (tmp_path / "float.keras").read_bytes() == trained
    assert keras.models.load_model(tmp_path / "float.keras").built


def test_images_are_those_of_the_five_jobs():
    x, x_test, y, y_test = finetune_mobilenet.load_images()
    assert x.shape == (1437, 32, 32, 1) and x_test.shape == (360, 32, 32, 1)
    assert (x.min(), x.max()) == (-1, 1) and len(y) == 1437
