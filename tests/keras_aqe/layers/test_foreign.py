"""Arguments of Larq and QKeras are answered by those that are known here."""

import pytest

import keras_aqe as aqe

# What a user of theirs writes, and what the error says.
ARGUMENTS = {
    "QuantConv2D": {
        "pad_values": (1.0, "`pad_value`"),
        "bias_quantizer": ("quantized_bits(4)", "use_bias=False"),
        "bias_range": (1.0, "Leave it out"),
        "kernel_range": (1.0, "Leave it out"),
        "metrics": (["flip_ratio"], "KernelMetrics"),
        "kernel_constraint": ("weight_clip", "WeightClip"),
    },
    "QuantDepthwiseConv2D": {
        "depthwise_quantizer": ("ste_sign", "`kernel_quantizer`"),
        "depthwise_range": (1.0, "Leave it out"),
        "depthwise_constraint": ("weight_clip", "WeightClip"),
    },
    "QuantSeparableConv2D": {
        "pointwise_quantizer": ("ste_sign", "`kernel_quantizer`"),
        "intermediate_quantizer": ("ste_sign", "QuantDepthwiseConv2D"),
    },
}


@pytest.mark.parametrize(
    "layer, argument",
    [(layer, a) for layer, named in ARGUMENTS.items() for a in named],
)
def test_the_error_says_what_it_is_here(layer, argument):
    value, says = ARGUMENTS[layer][argument]
    size = (3,) if layer == "QuantDepthwiseConv2D" else (8, 3)
    with pytest.raises(ValueError) as error:
        getattr(aqe.layers, layer)(*size, name="conv", **{argument: value})
    text = str(error.value)
    assert f"`{argument}`" in text
    assert "layer 'conv'" in text.lower()
    assert says in text
