"""Which quantized layers the packed format can hold, and how."""

import numpy as np

from keras_aqe.converters.errors import FloatLayerError
from keras_aqe.converters.graph import nodes as g
from keras_aqe.converters.graph.known import is_reshape
from keras_aqe.converters.targets.packed import limits, packing
from keras_aqe.converters.targets.target import is_float_width
from keras_aqe.costs import operation

# Beyond, products of docs/format.md's float inputs may be anything.
_FLOAT_INPUT_LIMIT = 2.0**121


def is_codes(node):
    """Whether a node's tensor holds codes that the format may have.

    Those of an image count if they fit into 8 bits; else its whole numbers are
    floats like any other.
    """
    if node.levels is None or isinstance(node, g.Sum):
        return False
    return not node.is_image or packing.width(node.levels) is not None


def reads_codes(node):
    """Whether a sum reads codes of the format, and not floats or pixels."""
    source = node.source
    if not is_codes(source) or reads_pixels(node):
        return False
    pad_code = 0 if node.window is None else node.window.pad_code
    # An image may be padded by anything, in floats.
    return (
        not source.is_image
        or pad_code == 0
        or pad_code in packing.LEVELS[packing.width(source.levels)]
    )


def reads_pixels(node):
    """Whether a sum reads an uint8 image and normalises it itself."""
    source = node.source
    return (
        isinstance(source, g.Pixels)
        and source.pixels.dtype == "uint8"
        and len(source.shape) == 4
        and node.window is not None
        and not pads_outside(node)
    )


def float_rule(node, graph):
    """Why a quantized layer may run in float; `None` if it may not."""
    return "float width" if is_float_width(node) else None


def refusals(graph):
    """Errors of layers that `strict` does not allow.

    Args:
        graph: A `nodes.Graph`.
    """
    for node in graph.sums:
        name = operation(node.source.bits, node.weight_bits)
        if name.startswith("MAC"):
            continue
        for reason in _obstacles(node):
            yield FloatLayerError(
                f"Layer {node.name!r} would not run as {name} under "
                f"target='packed': {reason}, or pass strict=False to keep it "
                "as a builtin float operator.",
                node.name,
            )


def is_packable(node):
    """Whether a quantized layer becomes an operator of the format."""
    return not any(_obstacles(node))


def _obstacles(node):
    """Why a sum cannot be packed and what to do, each reason there is."""
    packs_kernel = node.weight_bits <= 4
    packs_input = not is_codes(node.source) or (
        packing.width(node.source.levels) is not None
    )
    if not packs_kernel:
        yield (
            f"its kernel has {node.weight_bits} bits, and the packed format "
            "has kernels of 1 to 4 bits. Give it a kernel quantizer of those"
        )
    if not packs_input:
        yield (
            f"its input has {node.source.bits} bits of powers of two, and the "
            "packed format has 1 to 4 of them. Use those, or FixedPoint(8)"
        )
        return
    beyond = _beyond_limits(node) if packs_kernel else None
    if beyond is not None:
        yield (
            f"{beyond}, a limit of the packed format (docs/format.md). Make it "
            "smaller"
        )
    yield from filter(None, [_pad_obstacle(node)])


def _pad_obstacle(node):
    source = node.source
    code = 0 if node.window is None else node.window.pad_code
    if not reads_codes(node):
        if abs(code) < _FLOAT_INPUT_LIMIT:
            return None
        return f"its pad_value, {code:g}, is too large. Use one below 2^121"
    if code and code not in packing.LEVELS[packing.width(source.levels)]:
        return (
            f"its pad_value, {node.pad_value:g}, is no level of its "
            "input. Use one"
        )
    return None


def _beyond_limits(node):
    """Which of the format's limits a sum breaks; `None` if none."""
    source, window = node.source, node.window
    beyond = limits.of_tensor(node.shape, 32)
    if reads_codes(node):
        bits = max(packing.width(kernel) for kernel, _ in pieces(node))
        width = packing.width(source.levels)
        beyond = (
            beyond
            or limits.of_tensor(packed_shape(source), width)
            or limits.of_sum(
                node.kernel[..., 0].size,
                packing.LEVELS[width],
                packing.LEVELS[bits],
            )
        )
    else:
        beyond = beyond or limits.of_tensor(source.shape, 32)
    if window is None:
        return beyond
    # Sequences are images of one row.
    size = np.array([1, *source.shape[1:-1]][-2:])
    if pads_outside(node):
        size = size + np.sum(window.pads, axis=1)
    return beyond or limits.of_window(
        size.tolist(), node.kernel.shape[:2], window.strides, window.dilation
    )


def packed_shape(node):
    """The shape in which the codes of a node are packed.

    A flattened node keeps the shape from before: a dense layer reads pixel
    after pixel, however they lie.
    """
    while (
        isinstance(node, g.Apply)
        and is_reshape(node.operation)
        and len(node.shape) == 2
    ):
        node = node.args[0]
    return node.shape


def is_packed(node):
    """Whether the format can hold the codes of a node."""
    width = packing.width(node.levels)
    return width is not None and (
        limits.of_tensor(packed_shape(node), width) is None
    )


def pieces(node):
    """Kernels of 1 to 4 bits and factors whose products add up to a kernel.

    There is one, with factor 1, but for a separable layer, where two kernels
    come to one that can hold more than the codes of 4 bits.

    Args:
        node: A `nodes.Sum`.

    Returns:
        A list of pairs.
    """
    if packing.width(node.kernel, node.weight_bits) in range(1, 5):
        return [(node.kernel, 1)]
    found, rest = [], node.kernel
    while rest.any():
        magnitude = np.log2(np.maximum(np.abs(rest), 1))
        nearest = np.sign(rest) * 2 ** np.rint(magnitude)
        rest = rest - nearest
        for factor in (1, 2**7, 2**14):
            part = nearest / factor
            part = np.where(
                (np.abs(part) >= 1) & (np.abs(part) < 2**7), part, 0
            )
            if part.any():
                found.append((part, factor))
    return found


def pads_outside(node):
    """Whether padding has to be an operator of its own.

    The format pads by less than the kernel reaches, and with whole numbers
    of 8 bits.
    """
    window = node.window
    return not limits.holds_pad(window.pad_code) or any(
        max(pads) > (size - 1) * dilation
        for pads, size, dilation in zip(
            window.pads, node.kernel.shape, window.dilation
        )
    )


def orientations(steps):
    """Splits the steps of a `nodes.Threshold`.

    Returns:
        The pooling layers, and one ±1 for each channel in front of every pool
        and behind the last: whether the value there rises (1) or falls (-1)
        with the accumulator.
    """
    pools, turns, turn = [], [], np.float32(1)
    for step in steps:
        if callable(step):
            pools.append(step)
            turns.append(turn)
        else:
            turn = turn * step
    return pools, [*turns, turn]
