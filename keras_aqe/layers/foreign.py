"""Arguments of Larq's and QKeras's layers by the names that they have here."""

from typing import Any

_ARGUMENTS = {
    "bias_quantizer": "Biases stay float: pass use_bias=False in front of "
    "batch normalisation, whose offsets become whole-number thresholds.",
    "bias_range": "Leave it out.",
    "depthwise_quantizer": "It is `kernel_quantizer` here.",
    "depthwise_range": "Leave it out: kernels are clipped to the levels.",
    "intermediate_quantizer": "Nothing is quantized between the two steps: "
    "use `QuantDepthwiseConv2D` and a `QuantConv2D` of 1x1 behind it.",
    "kernel_range": "Leave it out: kernels are clipped to the levels.",
    "metrics": "Pass `keras_aqe.callbacks.KernelMetrics()` to `fit`.",
    "pad_values": "It is `pad_value` here.",
    "pointwise_quantizer": "`kernel_quantizer` is that of both kernels here.",
}
# Larq's name of a constraint, which quantized kernels have by themselves.
_CLIP = "weight_clip"


def refuse(arguments: dict[str, Any], layer: str) -> None:
    """Says what an argument of Larq or QKeras is called here.

    Args:
        arguments: Keyword arguments of a quantized layer, but for its own.
        layer: Name of the layer, or of its class if it has none yet.

    Raises:
        ValueError: If one is theirs.
    """
    for name, value in arguments.items():
        if name in _ARGUMENTS:
            raise ValueError(
                f"Layer {layer!r} has no `{name}`, as layers of Larq and "
                f"QKeras do. {_ARGUMENTS[name]} "
                f"Received: {name}={value!r}"
            )
        if name.endswith("_constraint") and value == _CLIP:
            raise ValueError(
                f"`{name}` of layer {layer!r} cannot be {_CLIP!r}, as in "
                f"Larq. Leave it out: quantized kernels are clipped by "
                f"`keras_aqe.constraints.WeightClip`."
            )
