"""What nodes of small networks are for operators."""

import keras
import pytest

from keras_aqe import layers
from keras_aqe.converters.graph.build import build
from keras_aqe.converters.targets.packed import forms

K = keras.layers
IMAGE = keras.Input((6, 6, 4), name="image")


def node_of(output):
    """The node of what a network of `IMAGE` returns."""
    return build(keras.Model(IMAGE, output)).outputs[0]


def quantized(x, quantizer="ternary"):
    return layers.QuantActivation(quantizer)(x)


def test_parts_are_those_of_all_concatenations():
    first, second = K.ReLU()(IMAGE), K.ReLU(6)(IMAGE)
    inner = K.Concatenate()([first, IMAGE])

    parts = forms.parts(node_of(K.Concatenate()([inner, second])))

    assert len(parts) == 3
    assert [part.shape[-1] for part in parts] == [4, 4, 4]


@pytest.mark.parametrize("axis", [1, 2])
def test_rows_and_columns_are_no_parts(axis):
    node = node_of(K.Concatenate(axis=axis)([IMAGE, K.ReLU()(IMAGE)]))
    assert forms.parts(node) == [node]


@pytest.mark.parametrize(
    "layer, moves",
    [
        (K.Cropping2D(1), True),
        (K.UpSampling2D(2), True),
        (K.Permute((2, 1, 3)), True),
        (K.Permute((3, 1, 2)), False),
        (K.Flatten(), False),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_pixels_move_as_a_whole_or_not(layer, moves):
    assert forms.moves_pixels(node_of(layer(quantized(IMAGE)))) == moves


@pytest.mark.parametrize("pool", [K.MaxPooling2D(), K.GlobalMaxPooling2D()])
def test_a_max_pool_of_floats(pool):
    assert forms.is_max_of_floats(node_of(pool(K.ELU()(IMAGE))))
    assert not forms.is_max_of_floats(node_of(pool(quantized(IMAGE))))


@pytest.mark.parametrize("quantizer", ["binary", "ternary", "po2_4"])
def test_an_average_of_codes(quantizer):
    pooled = K.AveragePooling2D(2)(quantized(IMAGE, quantizer))
    assert forms.is_average_of_codes(node_of(pooled))
    pooled = K.AveragePooling2D(2)(K.ELU()(IMAGE))
    assert not forms.is_average_of_codes(node_of(pooled))
