import keras
import pytest

from keras_aqe.layers import QuantDense
from keras_aqe.quantization.choices import (
    Choice,
    Overrides,
    is_depthwise,
    reason_to_keep,
)

K = keras.layers


def test_a_name_goes_before_a_pattern_and_that_before_a_class():
    overrides = Overrides(
        ["inner/b*"],
        {
            "a": 1,
            "a*": 2,
            "*b": 3,
            K.Layer: 4,
            K.Dense: (8, 4),
            "inner/c": {"kernel_quantizer": "ternary", "pad_value": 1},
        },
    )
    dense, conv = K.Dense(1, name="x"), K.Conv2D(1, 1, name="a")
    assert overrides.find("a", conv).kernel == 1
    assert overrides.find("other/a", conv).kernel == 1
    assert overrides.find("ab", dense).kernel == 3
    assert overrides.find("inner/bb", dense).is_float
    assert Overrides("inner", {}).find("inner/more/conv", conv).is_float
    assert Overrides("inner", {}).find("inner2/conv", conv) is None
    assert overrides.find("x", dense) == Choice(8, 4, "override")
    assert overrides.find("y", K.Conv1D(1, 1)).kernel == 4
    found = overrides.find("inner/c", K.Conv2D(1, 1))
    assert found.input is None and found.kernel == "ternary"
    assert found.more == {"pad_value": 1} and found.quantizes_image
    assert Overrides((), None).find("a", conv) is None


@pytest.mark.parametrize(
    "skip, overrides, message",
    [
        ([3], None, "`skip`.*Received: 3"),
        ((), {3: 1}, "`overrides`.*Received: 3"),
        ((), {"a": "binary"}, r"overrides\['a'\].*Received: 'binary'"),
        ((), {"a": (1, 2, 3)}, r"Received: \(1, 2, 3\)"),
        ((), {"a": {"kernel": 1}}, r"kernel_quantizer.*\['kernel'\]"),
    ],
)
def test_bad_keys_and_overrides(skip, overrides, message):
    with pytest.raises(ValueError, match=message):
        Overrides(skip, overrides)


def test_keys_that_match_nothing():
    overrides = Overrides((), {"a": 1, K.Conv3D: 1})
    overrides.find("a", K.Dense(1))
    with pytest.raises(ValueError, match="'Conv3D'.*Those are: a, b"):
        overrides.check_matched(["a", "b"])


def test_reasons_to_keep_a_layer():
    class Own(K.Dense):
        pass

    adapted = K.Dense(2)
    adapted.build((None, 3))
    adapted.enable_lora(1)
    integers = K.Dense(2)
    integers.build((None, 3))
    integers.quantize("int8")
    assert reason_to_keep(K.Dense(2)) == ""
    assert "subclass of Dense" in reason_to_keep(Own(2))
    assert reason_to_keep(adapted) == "has LoRA weights"
    assert "int8" in reason_to_keep(integers)
    assert reason_to_keep(QuantDense(2)) == "quantized already"
    assert reason_to_keep(K.Embedding(2, 2)) == "no quantized form"


@pytest.mark.parametrize(
    "layer, expected",
    [
        (K.DepthwiseConv2D(3), True),
        (K.DepthwiseConv2D(3, depth_multiplier=2), True),
        (K.Conv2D(4, 3, groups=4), True),
        (K.Conv2D(8, 3, groups=4), True),
        (K.Conv2D(4, 3, groups=2), False),
        (K.Conv2D(4, 3), False),
        (K.SeparableConv2D(4, 3), False),
        (K.Conv2DTranspose(4, 3), False),
        (K.Dense(4), False),
    ],
)
def test_depthwise_layers_read_a_channel_each(layer, expected):
    layer.build((None, 5, 5, 4))
    assert is_depthwise(layer) == expected


def test_a_convolution_of_one_channel_is_no_depthwise_one():
    layer = K.Conv1D(4, 3)
    layer.build((None, 5, 1))
    assert not is_depthwise(layer)
