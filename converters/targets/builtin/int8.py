"""The builtin operators that quantized layers become, one function each."""

import numpy as np

from keras_aqe.converters.file.builtin_ops import Constant, Operator
from keras_aqe_runtime.file.flatbuffer import schema

_ACTIVATIONS = {
    None: schema.ActivationFunctionType.NONE,
    "relu_n1_to_1": schema.ActivationFunctionType.RELU_N1_TO_1,
    "relu6": schema.ActivationFunctionType.RELU6,
}
_PADDINGS = {"SAME": schema.Padding.SAME, "VALID": schema.Padding.VALID}
# Bits of a kernel by its largest magnitude. Some ARM kernels overflow at -128.
_BITS = {1: 2, 7: 4, 127: 8}
LIMITS = tuple(_BITS)
# The first FULLY_CONNECTED that knows kernels of these bits.
_DENSE_VERSIONS = {2: 14, 4: 10, 8: 4}


def sum_of_products(
    kernel,
    name,
    window=None,
    padding=None,
    groups=1,
    scale=None,
    compact=False,
    **requantized,
):
    """CONV_2D, DEPTHWISE_CONV_2D or FULLY_CONNECTED.

    Args:
        kernel: As in `graph.Sum`.
        name: Name of the kernel's tensor.
        window: As in `graph.Sum`.
        padding: `"SAME"` or `"VALID"`, for a convolution.
        groups: As in `graph.Sum`.
        scale: Scale of the result, `None` for floats.
        compact: Whether the kernel of FULLY_CONNECTED takes fewer than 8 bits
            if it fits.
        **requantized: Arguments of `_integers`, or of `_floats` where the
            result is float.
    """
    constants = _floats if scale is None else _integers
    activation = _ACTIVATIONS[requantized.pop("activation", None)]
    if window is None:
        bits = 8
        if compact and scale is not None:
            largest = np.abs(kernel).max()
            bits = next(_BITS[limit] for limit in LIMITS if largest <= limit)
            requantized["bits"] = bits
        options = schema.FullyConnectedOptionsT()
        options.keepNumDims = True
        options.fusedActivationFunction = activation
        layout, axis = (1, 0), 0
        operator, version = "FULLY_CONNECTED", _DENSE_VERSIONS[bits]
    else:
        depthwise = groups > 1 and kernel.shape[2] == 1
        if depthwise:
            options = schema.DepthwiseConv2DOptionsT()
            options.depthMultiplier = kernel.shape[-1] // groups
            layout, axis = (2, 0, 1, 3), 3
            operator, version = "DEPTHWISE_CONV_2D", 3
        else:
            options = schema.Conv2DOptionsT()
            layout, axis = (3, 0, 1, 2), 0
            operator, version = "CONV_2D", 3
        options.padding = _PADDINGS[padding]
        options.strideH, options.strideW = window.strides
        options.dilationHFactor, options.dilationWFactor = window.dilation
        options.fusedActivationFunction = activation
    kernel = kernel.transpose(layout)
    inputs = constants(kernel, axis, name, scale=scale, **requantized)
    return Operator(operator, options, version, inputs, scale)


def _integers(
    kernel, axis, name, scale, input_scale, multipliers, biases, bits=8
):
    """`round(multipliers * (sum of products + biases))` in units of `scale`.

    The interpreter derives each multiplier from the three scales.
    """
    scales = np.asarray(multipliers * scale / input_scale, "float32")
    return (
        Constant(kernel.astype("int8"), scales, axis, name, bits=bits),
        Constant(
            biases.astype("int32"), input_scale * scales, 0, f"{name}/bias"
        ),
    )


def _floats(kernel, axis, name, scale, kernel_scale):
    """The sum of products times `kernel_scale`, in float32."""
    channels = kernel.shape[axis]
    bias = Constant(np.zeros(channels, "float32"), name=f"{name}/bias")
    if fits_int8(kernel):
        stored = Constant(
            kernel.astype("int8"), kernel_scale, 0, name, dequantized=True
        )
    else:
        stored = Constant((kernel * kernel_scale).astype("float32"), name=name)
    return stored, bias


def fits_int8(kernel):
    """Whether all numbers are whole ones of the range that kernels have."""
    return (
        bool((kernel == np.rint(kernel)).all())
        and np.abs(kernel).max(initial=0) <= LIMITS[-1]
    )


def max_pool(layer, rank, scale):
    """MAX_POOL_2D for a Keras max-pooling layer, on rows and columns."""
    options = schema.Pool2DOptionsT()
    options.padding = _PADDINGS[layer.padding.upper()]
    options.filterHeight, options.filterWidth = _both(layer.pool_size, rank)
    options.strideH, options.strideW = _both(layer.strides, rank)
    return Operator("MAX_POOL_2D", options, 2, scale=scale)


def _both(values, rank):
    return (1, *values) if rank == 1 else tuple(values)


def add(scale, constant=None, activation=None):
    """ADD of two tensors, or of a tensor and a `Constant`."""
    options = schema.AddOptionsT()
    options.potScaleInt16 = False
    options.fusedActivationFunction = _ACTIVATIONS[activation]
    version = 1 if scale is None else 2
    constants = () if constant is None else (constant,)
    return Operator("ADD", options, version, constants, scale)


def pad(paddings, code, scale):
    """PAD by zeros, or PADV2 by another code."""
    constants = [Constant(np.array(paddings, "int32"))]
    if code == 0:
        return Operator("PAD", schema.PadOptionsT(), 2, constants, scale)
    constants.append(Constant(np.array([code], "int8"), scale))
    return Operator("PADV2", schema.PadV2OptionsT(), 2, constants, scale)


def multiply(constant, scale):
    """MUL by a `Constant`."""
    options = schema.MulOptionsT()
    options.fusedActivationFunction = _ACTIVATIONS[None]
    return Operator("MUL", options, 2, (constant,), scale)


def quantize(scale):
    """QUANTIZE: from float32, or from another scale."""
    return Operator("QUANTIZE", schema.QuantizeOptionsT(), 2, scale=scale)


def dequantize():
    """DEQUANTIZE to float32."""
    return Operator("DEQUANTIZE", schema.DequantizeOptionsT(), 2)
