"""The examples of docs/ run."""

import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_aqe import runtime

DOCS = pathlib.Path(__file__).parents[1] / "docs"


@pytest.fixture
def in_graphs_again():
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.slow
def test_training(monkeypatch, tmp_path, few_weights, in_graphs_again):
    pytest.importorskip("matplotlib").use("Agg")
    text = (DOCS / "training.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (4, 32, 32, 3)).astype("uint8")
    labels = generator.integers(0, 10, (4, 1))
    monkeypatch.setattr(
        keras.datasets.cifar10, "load_data", lambda: [(images, labels)] * 2
    )
    monkeypatch.chdir(tmp_path)
    names = {}
    for example in examples:
        # A few batches are done before a graph is compiled.
        tf.config.run_functions_eagerly(
            ".fit(" in example or "tf.function" in example
        )
        exec(example, names)
    assert len(names["blends"].kernels) == 3
    assert len(list(tmp_path.glob("*.png"))) == 3


def mobile(input_shape, alpha, weights, classes):
    """Stands in for MobileNetV2, with some of its layers."""
    del alpha, weights
    K = keras.layers
    names = ("Conv1", "block_1_expand", "block_16_expand")
    x = inputs = keras.Input(input_shape)
    for name in names:
        x = K.Conv2D(4, 3, strides=2, use_bias=False, name=name)(x)
        x = K.ReLU(6.0)(K.BatchNormalization()(x))
        x = K.DepthwiseConv2D(3, use_bias=False)(x)
        x = K.ReLU(6.0)(K.BatchNormalization()(x))
    x = K.Dense(classes, activation="softmax")(K.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, x)


@pytest.mark.slow
def test_float_models(monkeypatch, in_graphs_again):
    monkeypatch.setattr(keras.applications, "MobileNetV2", mobile)
    text = (DOCS / "float_models.md").read_text()
    names = {}
    for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        tf.config.run_functions_eagerly(".fit(" in example)
        exec(example, names)
    assert set(names["overrides"]) == {"conv1", "conv2", "conv3"}


@pytest.mark.slow
def test_conversion(monkeypatch, tmp_path):
    text = (DOCS / "conversion.md").read_text()
    monkeypatch.chdir(tmp_path)
    for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(example, {})
    assert (tmp_path / "model.tflite").stat().st_size > 400_000


@pytest.mark.slow
def test_runtime(tmp_path, monkeypatch):
    try:
        runtime.library_path()
    except RuntimeError as error:
        pytest.skip(str(error))
    text = (DOCS / "runtime.md").read_text()
    with_interpreter, compiled = re.findall(
        r"```python\n(.*?)```", text, re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(with_interpreter, names)
    interpreter = names["interpreter"]
    target = interpreter.get_output_details()[0]["index"]
    assert interpreter.get_tensor(target).shape == (1, 10)
    exec(compiled, names)
    assert names["logits"].shape == (10,)
