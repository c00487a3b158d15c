"""Quantizers of Larq and QKeras by the names that they have here."""

import re
from typing import Any

_SIGN = "'binary', which is `keras_aqe.quantizers.Binary(estimator='ste')`"
_DOREFA = "'{unsigned}' for what comes out of a ReLU, '{po2}' for kernels"
_LARQ = {
    "approx_sign": f"{_SIGN} with another gradient",
    "dorefa": _DOREFA,
    "dorefa_quantizer": _DOREFA,
    "magnitude_aware_sign": f"{_SIGN}; batch normalisation takes the place of "
    "the magnitude",
    "no_op": "None, which is no quantizer",
    "ste_heaviside": "'unsigned_1', for inputs,",
    "ste_sign": _SIGN,
    "ste_tern": "'ternary', which is "
    "`keras_aqe.quantizers.Ternary(estimator='ste')`",
    "swish_sign": f"{_SIGN} with another gradient",
}
_QKERAS = {
    "bernoulli": "`keras_aqe.quantizers.Binary(stochastic=True)`",
    "binary": "'binary'",
    "quantized_bits": "'{fixed}' for inputs, '{po2}' for kernels",
    "quantized_hswish": "'{fixed}' behind the activation itself",
    "quantized_linear": "'{fixed}' for inputs, '{po2}' for kernels",
    "quantized_po2": "'{po2}'",
    "quantized_relu": "`keras.layers.ReLU()` and '{unsigned}' behind it",
    "quantized_relu_po2": "`keras.layers.ReLU()` and '{unsigned}' behind it",
    "quantized_sigmoid": "'{unsigned}' behind the activation itself",
    "quantized_tanh": "'{fixed}' behind `keras_aqe.layers.HardTanh()`",
    "quantized_ulaw": "'{po2}'",
    "stochastic_binary": "`keras_aqe.quantizers.Binary(stochastic=True)`",
    "stochastic_ternary": "`keras_aqe.quantizers.Ternary(stochastic=True)`",
    "ternary": "'ternary'",
}
# Our own classes, where a name is asked for.
_CLASSES = {
    "binary": "'binary'",
    "fixed_point": "'{fixed}' or, without a sign, '{unsigned}'",
    "float16": "'float16'",
    "power_of_two": "'{po2}'",
    "ternary": "'ternary'",
}
# The least and the largest width of those that have a number.
_WIDTHS = {"fixed": (2, 16), "po2": (2, 6), "unsigned": (1, 16)}
# An expression of QKeras, as `quantized_bits(4, 0, alpha=1)`.
_CALL = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*", re.DOTALL)
# Its argument that leaves the levels below 0 out, the third one.
_UNSIGNED = re.compile(
    r"keep_negative\s*=\s*(0|False)\b|^[^,]+,[^,]+,\s*(0|False)\b"
)


def counterpart(identifier: Any) -> str:
    """A sentence on what a quantizer of Larq or QKeras is called here.

    Args:
        identifier: A name, a call written as a string, a function or an
            object of theirs.

    Returns:
        The sentence; empty where there is nothing to say.

    Example:

    ```pycon
    >>> counterpart("quantized_po2(3)")
    "QKeras's `quantized_po2(3)` is 'po2_3' here."

    ```
    """
    if not isinstance(identifier, str):
        name = getattr(identifier, "__name__", type(identifier).__name__)
        return counterpart(name) if name != "str" else ""
    call = _CALL.fullmatch(identifier)
    if call is None:
        return ""
    name, arguments = call.groups()
    name = _snake_case(name)
    if arguments is None and name in _CLASSES:
        library, like = "", _CLASSES[name]
    elif name in _LARQ:
        library, like = "Larq's ", _LARQ[name]
    elif name == "quantized_bits" and _UNSIGNED.search(arguments or ""):
        library, like = "QKeras's ", "'{unsigned}'"
    elif name in _QKERAS:
        library, like = "QKeras's ", _QKERAS[name]
    else:
        return ""
    found = like.format_map(_of_width(arguments))
    return f"{library}`{identifier}` is {found} here."


def _snake_case(name):
    """`SteTern` as `ste_tern`, and `DoReFa` as `dorefa`."""
    name = name.replace("DoReFa", "Dorefa")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _of_width(arguments):
    """Names of the width in the arguments of a call, as far as there are."""
    found = re.match(r"\s*(?:(?:bits|k_bit)\s*=\s*)?(\d+)", arguments or "")
    found = found or re.search(r"\b(?:bits|k_bit)\s*=\s*(\d+)", arguments or "")
    if found is None:
        return {name: f"{name}_<bits>" for name in _WIDTHS}
    bits = int(found[1])
    return {
        name: f"{name}_{min(bits, most)}" if bits >= least else "binary"
        for name, (least, most) in _WIDTHS.items()
    }
