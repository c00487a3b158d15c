"""Multiply-accumulates of layers, against numbers by hand."""

import keras
import pytest

from keras_aqe import models
from keras_aqe.converters import convert
from tests.converters.test_report import rows_of, with_random_weights

K = keras.layers


@pytest.mark.slow
@pytest.mark.parametrize("layer", [K.LSTM(4), K.GRU(4, reset_after=False)])
def test_loops(layer):
    inputs = keras.Input((5, 3))
    model = with_random_weights(keras.Model(inputs, layer(inputs)))
    row = rows_of(model, "lce")[layer.name]
    kernel, recurrent, _ = layer.get_weights()
    assert row.macs == 5 * (kernel.size + recurrent.size)
    assert row.op == "WHILE"
    assert row.bytes >= 4 * model.count_params()


def test_sizes_left_open_count_as_one():
    x = inputs = keras.Input((None, None, 3))
    x = K.Conv2D(4, 3, padding="same", name="conv")(x)
    x = K.GlobalAveragePooling2D()(x)
    x = K.EinsumDense("ab,bc->ac", 5, name="dense")(x)
    rows = rows_of(keras.Model(inputs, x))
    assert (rows["conv"].macs, rows["dense"].macs) == (9 * 3 * 4, 4 * 5)


def test_products_of_activations_count():
    first, second = keras.Input((3, 4)), keras.Input((4, 5))
    product = K.Dot(axes=(2, 1))([first, second])
    report = convert(keras.Model([first, second], product), "tflite").report
    assert not report and report.macs_by_kind == {"other": 3 * 4 * 5}


@pytest.mark.slow
def test_macs_follow_the_shapes():
    report = convert(
        models.MINWNet(filters=4, dense_units=8), target="tflite"
    ).report
    assert report[0].macs == 30 * 30 * 4 * 27
    assert report[1].macs == 30 * 30 * 4 * 36
    assert report[-1].macs == 8 * 10
