"""Quantized Keras layers as sums over integer codes.

Every convolution becomes a plain 2D one with explicit padding, so that no
target needs to know the layers apart.
"""

import dataclasses

import keras
import numpy as np

from keras_aqe import layers
from keras_aqe.converters.errors import ConversionError, raise_all
from keras_aqe.converters.graph import quantizing
from keras_aqe.converters.graph.nodes import (
    Cast,
    Pad,
    Shift,
    Spread,
    Sum,
    Window,
)
from keras_aqe.layers.quantized import same_padding

# float32 holds all whole numbers up to here.
_LARGEST_PAD_CODE = 2**24
# And the halves between them up to here.
_LARGEST_FLOAT_SUM = 2**23
# Less this, codes of 8 bits without a sign are signed ones.
_SHIFT = 128
CONVERTIBLE = (
    layers.QuantConv1D,
    layers.QuantConv2D,
    layers.QuantConv2DTranspose,
    layers.QuantDense,
    layers.QuantDepthwiseConv2D,
    layers.QuantSeparableConv2D,
)


def lower(layer, source, refuse):
    """The `Sum` of a quantized layer on a source that is quantized already.

    Args:
        layer: A layer of one of the `CONVERTIBLE` classes.
        source: The `graph.Node` that it sees.
        refuse: Called with the `ConversionError` of each argument that cannot
            be converted but for which another can stand in. Where it returns,
            that one does, so that further errors are found.

    Raises:
        ConversionError: If there can be no sum; the errors of all arguments.
    """
    raise_all(_refusals(layer, source))
    if isinstance(source, Sum):
        # Its levels are where its accumulators end, not codes.
        source = Cast(source.name, source.shape, source=source)
    if isinstance(layer, layers.QuantDense):
        kernel, unit = _codes(layer, layer.kernel, refuse)
        shape = layer.compute_output_shape(source.shape)
        return _sum(layer, source, kernel, unit, shape)
    if isinstance(layer, layers.QuantConv2DTranspose):
        return _transposed(layer, source, refuse)
    if isinstance(layer, layers.QuantSeparableConv2D):
        kernel, unit = _composed(layer, refuse)
    else:
        kernel, unit = _codes(layer, layer.kernel, refuse)
    if isinstance(layer, layers.QuantDepthwiseConv2D):
        kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
    if isinstance(layer, layers.QuantConv1D):
        kernel = kernel[None]
    shape = layer.compute_output_shape(source.shape)
    window = _window(layer, source, refuse)
    source, window = _unpadded(source, kernel, window)
    return _sum(layer, source, kernel, unit, shape, window)


def _refusals(layer, source):
    """Errors of arguments with which there is no sum."""
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        yield ConversionError(
            f"Layer {layer.name!r} has data_format='channels_first', which "
            "TFLite does not have. Use 'channels_last'."
        )
    if layer.quantization_mode is not None:
        yield ConversionError(
            f"Layer {layer.name!r} was quantized to "
            f"{layer.quantization_mode!r} by Keras, so its own quantizers no "
            "longer count. Convert the model as it was before `quantize`."
        )
    if isinstance(layer, layers.QuantDense):
        if getattr(layer, "lora_enabled", False):
            yield ConversionError(
                f"Layer {layer.name!r} has LoRA weights beside its kernel, "
                "which cannot be quantized. Merge them by saving its kernel "
                "into a layer without `lora_rank`."
            )
    elif None in source.shape[1:]:
        yield ConversionError(
            f"Layer {layer.name!r} has an input of shape {source.shape}, "
            "whose sizes are not all known. Build the model with a "
            "`keras.Input` of fixed sizes (only the batch may be `None`)."
        )


def _codes(layer, latent, refuse):
    """A kernel as float32 integer codes and their unit, or as floats."""
    latent = keras.ops.convert_to_numpy(latent)
    quantizer = layer.kernel_quantizer
    if quantizer is None:
        return latent, 1.0
    if quantizer.bits > 8:
        return np.asarray(quantizer(latent, training=False)), 1.0
    codes = np.asarray(quantizer.codes(latent), "float32")
    if not quantizing.is_understood(quantizer) and not np.array_equal(
        codes * np.float32(quantizer.unit), quantizer(latent, training=False)
    ):
        refuse(
            ConversionError(
                f"Layer {layer.name!r} has a kernel quantizer of type "
                f"{type(quantizer).__name__} whose `codes` times `unit` are "
                "not what it returns. Make them equal."
            )
        )
    return codes, quantizer.unit


def _composed(layer, refuse):
    """The kernel of the one convolution that equals both steps."""
    depthwise, unit = _codes(layer, layer.depthwise_kernel, refuse)
    pointwise, _ = _codes(layer, layer.pointwise_kernel, refuse)
    pointwise = pointwise.reshape(*depthwise.shape[2:], -1)
    return np.einsum("hwcm,cmo->hwco", depthwise, pointwise), unit * unit


def _transposed(layer, source, refuse):
    kernel, unit = _codes(layer, layer.kernel, refuse)
    kernel = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
    shape = layer.compute_output_shape(source.shape)
    pads = []
    for size, given, kernel_size, stride, dilation in zip(
        shape[1:3],
        source.shape[1:3],
        layer.kernel_size,
        layer.strides,
        layer.dilation_rate,
    ):
        reach = (kernel_size - 1) * dilation
        spread = (given - 1) * stride + 1
        cut = max(spread + reach - size, 0) if layer.padding == "same" else 0
        before = reach - cut // 2
        pads.append((before, size - spread - before + reach))
    source = _spread(source, layer)
    window = Window((1, 1), tuple(layer.dilation_rate), tuple(pads))
    return _sum(layer, source, kernel, unit, shape, window)


def _spread(source, layer):
    if set(layer.strides) == {1}:
        return source
    height, width = (
        (size - 1) * stride + 1
        for size, stride in zip(source.shape[1:3], layer.strides)
    )
    bits, levels = source.bits, source.levels
    if levels is not None and 0 not in levels:
        bits, levels = bits + 1, np.union1d(levels, 0)
    return Spread(
        layer.name,
        (source.shape[0], height, width, source.shape[3]),
        bits=bits,
        unit=source.unit,
        levels=levels,
        is_image=source.is_image,
        source=source,
        strides=tuple(layer.strides),
    )


def _window(layer, source, refuse):
    axes = list(
        zip(
            source.shape[1:-1],
            layer.kernel_size,
            layer.strides,
            layer.dilation_rate,
        )
    )
    if layer.padding == "same":
        pads = [same_padding(*axis) for axis in axes]
    elif layer.padding == "causal":
        pads = [((size - 1) * dilation, 0) for _, size, _, dilation in axes]
    else:
        pads = [(0, 0)] * len(axes)
    row = [(1, 1, (0, 0))] if len(axes) == 1 else []
    strides, dilation, pads = zip(
        *row, *zip(layer.strides, layer.dilation_rate, pads)
    )
    pad_code = _pad_code(layer, source, pads, refuse)
    return Window(strides, dilation, pads, pad_code)


def _pad_code(layer, source, pads, refuse):
    """What padding fills in, as a code of the source."""
    code = layer.pad_value / source.unit
    if not np.any(pads):
        return 0.0
    stand_in = 0.0 if source.levels is None else float(source.levels[-1])
    whole = code == np.rint(code) and abs(code) <= _LARGEST_PAD_CODE
    if not np.isfinite(code):
        refuse(
            ConversionError(
                f"Layer {layer.name!r} has pad_value={layer.pad_value}, with "
                "which its sums at the edges are no numbers. Use a finite one."
            )
        )
        return stand_in
    if source.levels is not None and not whole and not source.is_image:
        refuse(
            ConversionError(
                f"Layer {layer.name!r} has pad_value={layer.pad_value}, and "
                f"its input has codes in steps of {source.unit}, so sums at "
                "the edges would be no whole numbers of it. Use one of its "
                f"levels, as {float(source.levels[-1] * source.unit)}, or 0."
            )
        )
        return stand_in
    return code


def _unpadded(source, kernel, window):
    """Codes without what is around them, and a window that has it instead.

    Both stay as they are where the window has another number around already,
    or would stand beside the codes as a whole.

    Args:
        source: The node that a layer sees.
        kernel: The layer's kernel, as that of a `Sum`.
        window: How it moves.
    """
    if not isinstance(source, Pad) or any(source.pads[0] + source.pads[-1]):
        return source, window
    # Sequences are images of one row.
    pads = np.add(window.pads, ((0, 0), *source.pads[1:-1])[-2:])
    reach = (np.array(kernel.shape[:2]) - 1) * window.dilation
    if (np.any(window.pads) and window.pad_code != source.code) or (
        (pads.max(axis=1) > reach).any()
    ):
        return source, window
    window = dataclasses.replace(
        window, pads=tuple(map(tuple, pads.tolist())), pad_code=source.code
    )
    return source.source, window


def _sum(layer, source, kernel, unit, shape, window=None):
    quantizer = layer.kernel_quantizer
    bits = 32 if quantizer is None else quantizer.bits
    offset = None
    if bits <= 8 and _exceeds_int8(source):
        offset = _SHIFT * kernel.sum(tuple(range(kernel.ndim - 1)))
        source, window = _shifted(source, window)
    node = Sum(
        layer.name,
        tuple(shape),
        unit=unit * (1.0 if source.levels is None else source.unit),
        source=source,
        kernel=kernel,
        weight_bits=bits,
        window=window,
        offset=offset,
        bias=_bias(layer),
        activation=_activation(layer),
    )
    if source.levels is not None and bits <= 8:
        node.levels = _sums(node)
    return node


def _exceeds_int8(source):
    """Whether codes are those of 8 bits without a sign."""
    return (
        source.levels is not None
        and not source.is_image
        and source.levels[0] >= 0
        and np.iinfo("int8").max < source.levels[-1] < 256
    )


def _shifted(source, window):
    """Such codes and the window over them as signed ones."""
    if window is not None:
        pad_code = window.pad_code - _SHIFT
        window = dataclasses.replace(window, pad_code=pad_code)
    node = Shift(
        source.name,
        source.shape,
        bits=source.bits,
        unit=source.unit,
        levels=source.levels - _SHIFT,
        source=source,
        by=_SHIFT,
    )
    return node, window


def _sums(node):
    """The least and the largest sum of codes; `None` if sums are floats."""
    reach = np.abs(node.kernel).sum(axis=tuple(range(node.kernel.ndim - 1)))
    bound = float(reach.max() * node.largest_code)
    if node.source.is_image and (
        bound > _LARGEST_FLOAT_SUM
        or (node.window and not float(node.window.pad_code).is_integer())
    ):
        return None
    return np.array([-int(bound), int(bound)])


def _bias(layer):
    if not layer.use_bias:
        return None
    return keras.ops.convert_to_numpy(layer.bias)


def _activation(layer):
    linear = layer.activation in (None, keras.activations.linear)
    return None if linear else layer.activation
