"""One run: its files and its line of results."""

import argparse
import tomllib

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_aqe as aqe
from examples.reproduce import __main__, runs, tensorflow_training
from examples.reproduce.store import Store


@pytest.mark.program
def test_a_run_that_ends_below_alpha_1_is_recalibrated(
    noise, tmp_path, monkeypatch
):
    config = """
        title = "Blend"
        [run]
        network = "Small"
        schedule = [{ kind = "Constant", value = 0.5 }, { kind = "Linear" }]
        [scale.smoke]
        train_images = 32
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


def test_weight_decay_is_added_to_the_loss():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    tensorflow_training.apply(model, {**runs.DEFAULTS, "weight_decay": 0.1})
    kernel = model.layers[0].kernel.numpy()
    assert float(sum(model.losses)) == pytest.approx(
        0.05 * np.sum(kernel**2), rel=1e-6
    )


def train(tmp_path, **settings):
    args = argparse.Namespace(data_dir=None, images=None, deadline=np.inf)
    run = {
        **runs.DEFAULTS,
        "network": "Small",
        "train_images": 96,
        "batch_size": 32,
        "epochs": 2,
        **settings,
    }
    strategy = tf.distribute.get_strategy()
    return tensorflow_training.train(run, tmp_path, args, strategy)


@pytest.mark.slow
@pytest.mark.bfloat16
def test_what_the_other_backend_trains_by_is_honoured(noise, tmp_path):
    record = train(
        tmp_path,
        dtype="mixed_bfloat16",
        label_smoothing=0.1,
        recalibrate=True,
        curve_every=2,
        decay={"kind": "cosine", "warm_up": 0.5},
        aqe_for="kernels",
    )
    first, last = record["epochs"]
    assert "hard_validation_accuracy" not in first
    assert 0 <= last["hard_validation_accuracy"] <= 1
    # It is saved as it was tested, in float32 and without a loss of our own.
    model = keras.models.load_model(tmp_path / "model.keras")
    assert model.layers[-1].compute_dtype == "float32"
    assert {float(q.alpha) for q in aqe.callbacks.find(model)} == {1.0}


@pytest.mark.parametrize(
    "setting", [{"alpha_order": "forward"}, {"teacher": {}}, {"initial": {}}]
)
def test_what_it_cannot_do_is_refused(tmp_path, setting):
    (name,) = setting
    with pytest.raises(ValueError, match=f"`{name}` is for KERAS_BACKEND=jax"):
        train(tmp_path, **setting)


@pytest.mark.program
def test_a_run_whose_time_is_up_goes_on(noise, tmp_path):
    config = """
        title = "Budget"
        [run]
        network = "Small"
        [scale.smoke]
        train_images = 48
        epochs = 3
        batch_size = 16
        [[stage]]
        name = "runs"
        seed = [0]
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "load", lambda name: tomllib.loads(config))
        command = ["study", "--scale", "smoke", "--output", str(tmp_path)]
        for left in (3, 2, 1, 0):
            store = Store(tmp_path / "results.jsonl")
            assert not list(store)
            __main__.main([*command, "--budget", "0.01"] if left else command)
    (record,) = store
    assert [line["epoch"] for line in record["epochs"]] == [1, 2, 3]
