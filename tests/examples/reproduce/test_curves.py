"""Curves against networks that are hard, or have no quantizer at all."""

import argparse

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_aqe as aqe
from examples.reproduce import curves

NETWORKS = {
    "MINWNet": {"input_bits": 2, "filters": 4, "dense_units": 8},
    # Its activation is another one where inputs are quantized.
    "ResNet110": {"input_bits": 32, "depth": 8, "filters": 4},
}


def network(name, **kwargs):
    create = getattr(aqe.models, name)
    arguments = NETWORKS[name] | kwargs
    return create(input_shape=(32, 32, 3), classes=3, **arguments)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_blend_is_hard_at_1_and_float_near_0(tmp_path, name, eager):
    keras.utils.set_random_seed(0)
    model = network(name, weight_bits=2)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    images = tf.random.normal([40, 32, 32, 3])
    labels = model.predict(images, verbose=0).argmax(-1)
    labels[::4] = (labels[::4] + 1) % 3
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(24)
    callback = curves.Curves(
        tmp_path,
        argparse.Namespace(training_subset=data, validation_subset=data),
    )
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, alpha in enumerate([1.0, 1e-6]):
        for quantizer in aqe.callbacks.find(model):
            quantizer.alpha.assign(alpha)
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {})
    unquantized = network(name, input_bits=32, weight_bits=32)
    values = {weight.path: weight for weight in model.weights}
    for weight in unquantized.weights:
        # A bias of zeros may stand where the other normalises logits.
        if weight.path != "logits/bias":
            weight.assign(values[weight.path])
    answers = unquantized.predict(images, verbose=0).argmax(-1)
    expected = np.mean(answers == labels)
    hard, blend = callback.read()
    assert hard["hard_validation_accuracy"] == 0.75
    assert hard["soft_validation_accuracy"] == 0.75
    assert blend["soft_validation_accuracy"] == expected
    assert expected != 0.75
    assert callback.pictured == (name == "MINWNet")
