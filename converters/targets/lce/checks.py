"""Checks of files with Larq Compute Engine's operators.

Its interpreter reads inputs, outputs and constants of its operators without
asking whether they are there.
"""

import numpy as np
from flatbuffers import flexbuffers

from keras_aqe.converters.targets.lce.operators import PREFIX, WORD
from keras_aqe_runtime.errors import DamagedError
from keras_aqe_runtime.file import flatbuffer, operator_signatures, operators

# Types and axes of inputs and outputs.
_SIGNATURES = {
    "LceBMaxPool2d": operator_signatures.parse("i@4 -> i@4"),
    "LceBconv2d": operator_signatures.parse("i@4 i@4 f@1 f@1 fi@1 -> fi@4"),
    "LceDequantize": operator_signatures.parse("i@1-8 -> f@1-8"),
    "LceQuantize": operator_signatures.parse("f@1-8 -> i@1-8"),
}
# Limits of the options that each needs.
_SIZE = (1, 2**15)
_OPTIONS = {
    "LceBMaxPool2d": {
        "filter_height": _SIZE,
        "filter_width": _SIZE,
        "stride_height": _SIZE,
        "stride_width": _SIZE,
        "padding": (0, 1),
    },
    "LceBconv2d": {
        "channels_in": (1, 2**24),
        "dilation_height_factor": _SIZE,
        "dilation_width_factor": _SIZE,
        "fused_activation_function": (0, 3),
        "pad_values": (0, 1),
        "padding": (0, 1),
        "stride_height": _SIZE,
        "stride_width": _SIZE,
    },
    "LceDequantize": {},
    "LceQuantize": {},
}


def check(model):
    """Checks LCE's operators.

    Args:
        model: A parsed file.

    Raises:
        ConversionError: If an operator of LCE is not as it should be.
    """
    for graph in model.subgraphs:
        names = flatbuffer.operator_names(model, graph)
        for name, operator in zip(names, graph.operators):
            if not name.startswith(PREFIX):
                continue
            try:
                _check_operator(model, graph, name, operator)
            except (IndexError, KeyError, TypeError, ValueError) as error:
                raise DamagedError(
                    f"operator {name} is malformed ({error})"
                ) from error


def _check_operator(model, graph, name, operator):
    _require(name in _SIGNATURES, "Larq Compute Engine has none of this name")
    operators.check_arguments(_SIGNATURES[name], graph, operator)
    options = _options(operator)
    for option, (least, most) in _OPTIONS[name].items():
        value = options.get(option)
        _require(
            type(value) is int and least <= value <= most,
            f"its option {option} is {value}",
        )
    if name == "LceBconv2d":
        _check_convolution(model, graph, operator, options)


def _check_convolution(model, graph, operator, options):
    words = -(-options["channels_in"] // WORD)
    tensors = [graph.tensors[i] for i in (*operator.inputs, *operator.outputs)]
    image, kernel, *constants, output = tensors
    _require(
        image.shape[3] == kernel.shape[3] == words,
        "its kernel does not fit its input",
    )
    for tensor in (kernel, *constants):
        data = model.buffers[tensor.buffer].data
        _require(
            data is not None and len(data) == 4 * np.prod(tensor.shape),
            "its constants do not have their length",
        )
    # Bits take thresholds, of their type; a float result scale and bias.
    to_bits = output.type == image.type
    for tensor in constants[2:] if to_bits else constants[:2]:
        _require(
            tensor.shape[0] == kernel.shape[0] and tensor.type == output.type,
            "its constants do not fit its kernel",
        )


def _options(operator):
    if operator.customOptions is None:
        return {}
    options = flexbuffers.Loads(bytes(bytearray(operator.customOptions)))
    _require(isinstance(options, dict), "its options are no map")
    return options


def _require(condition, message):
    if not condition:
        raise ValueError(message)
