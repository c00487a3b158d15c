"""`target="lce"`: quantized layers as Larq Compute Engine operators.

LCE multiplies ±1 by ±1. Codes of any width are written as planes (see
`planes.py`), and a layer as the sum of one `LceBconv2d` for
each pair of an input plane and a kernel plane, whose factors it carries.
"""

import collections
import functools
import operator

import keras
import numpy as np
import tensorflow as tf

from keras_aqe.converters.file.codes import Stored
from keras_aqe.converters.graph import nodes as g
from keras_aqe.converters.graph.known import is_flatten, is_known, is_max_pool
from keras_aqe.converters.graph.quantizing import distinct
from keras_aqe.converters.targets import dtypes
from keras_aqe.converters.targets.emitter import Emitter
from keras_aqe.converters.targets.lce import fits
from keras_aqe.converters.targets.lce import operators as ops
from keras_aqe.converters.targets.lce.planes import planes
from keras_aqe.layers.quantized import same_padding
from keras_aqe.quantizers import Binary

# The negative number nearest to 0.
_BELOW_ZERO = -np.finfo("float32").smallest_subnormal
_PIXELWISE = g.Window((1, 1), (1, 1), ((0, 0), (0, 0)))


def emit(graph, options):
    """Writes a graph whose quantized layers LCE runs as XNOR.

    Dense layers become convolutions, since LCE has no binary dense layer. A
    quantized layer on the image keeps a builtin float convolution with the
    codes of its kernel.

    Args:
        graph: A `nodes.Graph`.
        options: A `target.Options`.

    Returns:
        What `Emitter.to_model` does.

    Raises:
        ConversionError: If sums are too large to be exact.
    """
    return LceEmitter(graph).model()


class LceEmitter(Emitter):
    """Writes sums and what stands between two of them as LCE's operators.

    A node has two forms: `tensor(node)` holds floats, in the shape that Keras
    gives it. Between sums it has planes of bits with four axes, whatever its
    shape, since that is what LCE's operators take.

    Args:
        graph: A `nodes.Graph`.
    """

    prefix = ops.PREFIX
    batch = 1
    input_dtypes = dtypes.BASIC

    def __init__(self, graph):
        super().__init__(graph)
        self._uses = collections.Counter(graph.outputs)
        for node in graph.nodes:
            self._uses.update(node.sources())

    def write(self, node):
        # A sum is written as its uses need it.
        if node.levels is None:
            self.tensor(node)
        elif not isinstance(node, g.Sum):
            self._once(self._write_spatial, node)

    def stored(self, node):
        form, bits = self._tensors.get(
            (self._write_planes.__name__, node, None, 0.0), (None, ())
        )
        if bits:
            tensors = tuple(plane.tensor for plane in bits)
            yield Stored(tensors, form.factors, form.offset)
        codes = self._tensors.get((self._write_spatial.__name__, node))
        if codes is not None:
            yield Stored((codes,))
        yield from super().stored(node)

    def _write_sum(self, node):
        return tf.reshape(self._spatial(node), (-1, *node.shape[1:]))

    def _write_threshold(self, node):
        return tf.reshape(self._spatial(node), (-1, *node.shape[1:]))

    def _spatial(self, node):
        """The node's tensor with axes for batch, rows, columns, channels."""
        return self._once(self._write_spatial, node)

    def _planes(self, node, pads=None, pad_code=0.0):
        """A node's `Planes` and the bits of each."""
        if pads is None:
            pad_code = 0.0
        return self._once(self._write_planes, node, pads, pad_code)

    def _once(self, write, *key):
        key = (write.__name__, *key)
        if key not in self._tensors:
            with self._scope(key[1]):
                self._tensors[key] = write(*key[1:])
        return self._tensors[key]

    def _write_spatial(self, node):
        if isinstance(node, g.Sum):
            if fits.has_planes(node):
                return self._sum(node)
            x = super()._write_sum(node)
            if node.levels is None or node.source.is_image:
                # The converter would fold what follows into the kernel, and
                # a kernel may begin with the bias: both round otherwise.
                x = tf.maximum(x, np.finfo("float32").min)
            return _with_four_axes(x)
        if isinstance(node, g.Threshold):
            return self._codes(node)
        return _with_four_axes(self.tensor(node))

    # Sums.

    def _sum(self, node, turn=1.0, bias=0.0):
        """Accumulators times ±1 for each channel, plus a bias if binary."""
        (form, bits), kernel, stride = self._operands(node)
        weights, signs = _kernel_planes(kernel)
        fits.check_exact(node, kernel, form, weights)
        terms = [
            _total(
                ops.convolution(x, sign * turn, stride, factor * weight, bias)
                for weight, sign in zip(weights.factors, signs)
            )
            for factor, x in zip(form.factors, bits)
        ]
        if form.offset:
            terms.append(form.offset * kernel.sum(axis=(0, 1, 2)) * turn)
        return _total(terms)

    def _operands(self, node):
        """Planes of a sum's input, its kernel, and how the kernel moves."""
        source = _before_flatten(node.source)
        kernel = _kernel(node, _space(source.shape))
        window = node.window or _PIXELWISE
        padding, pad_value, pads = "VALID", 0, None
        if np.any(window.pads):
            if _is_padded_by_lce(window, kernel, source):
                padding, pad_value = "SAME", int(window.pad_code)
            else:
                pads = window.pads
        inputs = self._planes(source, pads, window.pad_code)
        return (
            inputs,
            kernel,
            ops.Stride(window.strides, window.dilation, padding, pad_value),
        )

    # Codes.

    def _write_planes(self, node, pads, pad_code):
        if pads is None:
            bits = self._direct_planes(node)
            if bits is not None:
                return planes(node.levels, offset=True), bits
        codes, levels = self._spatial(node), node.levels
        if pads is not None:
            pads = [(0, 0), *pads, (0, 0)]
            codes = tf.pad(codes, pads, constant_values=float(pad_code))
            levels = np.union1d(levels, pad_code)
        form = planes(levels, offset=True)
        return form, form.signs(codes, ops.quantize, ops.dequantize)

    def _direct_planes(self, node):
        """Planes that need no codes first, or `None`."""
        if not _are_steps(node.levels):
            return None
        if isinstance(node, g.Threshold):
            return self._comparisons(node)
        if isinstance(node, g.Quantize) and is_known(node.quantizer, (Binary,)):
            # -0.0 counts as 0.
            x = self.value(node.source) - _BELOW_ZERO
            return [ops.quantize(_with_four_axes(x))]
        if isinstance(node, g.Apply) and len(node.shape) == 4:
            # These planes rise with the code, as its maximum does.
            if is_max_pool(node.operation, (keras.layers.MaxPooling2D,)):
                _, bits = self._planes(node.args[0])
                return [ops.max_pool(x, node.operation) for x in bits]
        return None

    def _codes(self, node):
        """The codes of a `Threshold`."""
        if _are_steps(node.levels):
            form, bits = self._planes(node)
            codes = _total(
                factor * ops.dequantize(x)
                for factor, x in zip(form.factors, bits)
            )
            return codes + form.offset if form.offset else codes
        codes = node.levels.astype("float32")
        x = self._stepped(node)
        return codes[0] + _total(
            rise * tf.cast(x >= threshold, tf.float32)
            for rise, threshold in zip(np.diff(codes), node.thresholds)
        )

    def _comparisons(self, node):
        """The bits of each threshold."""
        thresholds = node.thresholds
        if node.source.levels is None:
            # -0.0 counts as 0.
            thresholds = np.where(thresholds == 0, _BELOW_ZERO, thresholds)
        else:
            bits = self._convolved_bits(node)
            if bits is not None:
                return [bits]
            # A half between whole numbers keeps ties out.
            thresholds = thresholds - np.float32(0.5)
        x = self._stepped(node)
        return [ops.quantize(x - threshold) for threshold in thresholds]

    def _convolved_bits(self, node):
        """The bits of a `Threshold` from one `LceBconv2d`, or `None`."""
        source = node.source
        if (
            not self._is_alone(source)
            or len(node.thresholds) > 1
            or any(map(callable, node.steps))
        ):
            return None
        (form, bits), kernel, stride = self._operands(source)
        if len(bits) > 1 or not np.array_equal(distinct(kernel), [-1, 1]):
            return None
        turn = functools.reduce(operator.mul, node.steps, 1.0)
        thresholds = node.thresholds[0]
        if stride.padding == "SAME" and stride.pad_value == 0:
            half = np.float32(0.5)
            return ops.quantize(self._sum(source, turn, half - thresholds))
        kernel = kernel * turn
        # Of the signs alone: factor and offset are halves, or 1 and 0.
        rest = thresholds - form.offset * kernel.sum(axis=(0, 1, 2))
        thresholds = np.ceil(rest / form.factors[0])
        return ops.convolution_to_bits(bits[0], kernel, stride, thresholds)

    def _stepped(self, node):
        """The sums of a `Threshold` after its steps."""
        steps = list(node.steps)
        if steps and not callable(steps[0]) and self._is_alone(node.source):
            x = self._sum(node.source, steps.pop(0))
        else:
            x = self._spatial(node.source)
        rank = len(node.source.shape)
        for step in steps:
            if not callable(step):
                x = x * step
            elif rank == 4:
                x = step(x)
            else:
                x = _with_four_axes(step(tf.reshape(x, (-1, *x.shape[-2:]))))
        return x

    def _is_alone(self, node):
        """Whether a sum on planes feeds one `Threshold` and nothing else."""
        return fits.has_planes(node) and self._uses[node] == 1


def _are_steps(levels):
    """Whether each threshold of these codes is the sign of one plane."""
    return list(levels) in ([-1, 1], [-1, 0, 1], [0, 1])


def _sign(x):
    return np.where(x >= 0, np.float32(1), np.float32(-1))


def _total(terms):
    return functools.reduce(operator.add, terms)


def _space(shape):
    """A shape with axes for batch, rows, columns and channels."""
    if len(shape) == 4:
        return tuple(shape)
    return shape[0], 1, int(np.prod(shape[1:-1], dtype=int)), shape[-1]


def _with_four_axes(x):
    return x if len(x.shape) == 4 else tf.reshape(x, _space(x.shape))


def _before_flatten(node):
    """The codes before a flatten, since a kernel can cover them as well."""
    while isinstance(node, g.Apply) and is_flatten(node.operation):
        node = node.args[0]
    return node


def _kernel(node, shape):
    """A layer's kernel as that of one convolution without groups."""
    kernel = node.kernel
    if node.window is None:
        flat = len(node.source.shape) == 2
        covered = shape[1:] if flat else (1, 1, shape[-1])
        return kernel.reshape(*covered, kernel.shape[-1])
    if node.groups == 1:
        return kernel
    # LCE's fastest kernel refuses groups.
    height, width, inputs, outputs = kernel.shape
    whole = np.zeros(
        (height, width, inputs * node.groups, outputs), kernel.dtype
    )
    step = outputs // node.groups
    for group in range(node.groups):
        rows = slice(group * inputs, (group + 1) * inputs)
        columns = slice(group * step, (group + 1) * step)
        whole[:, :, rows, columns] = kernel[..., columns]
    return whole


def _kernel_planes(kernel):
    form = planes(distinct(kernel))
    return form, form.signs(kernel, _sign)


def _is_padded_by_lce(window, kernel, source):
    """Whether LCE's 'same' padding does what a window asks for."""
    form = planes(source.levels, offset=True)
    sizes = _space(source.shape)[1:3]
    axes = list(zip(sizes, kernel.shape[:2], window.strides, window.dilation))
    if tuple(window.pads) != tuple(same_padding(*axis) for axis in axes):
        return False
    if window.pad_code == 1 and form.factors == (1.0,):
        return True
    # LCE pads with +1 and takes it off again, rightly only where no window
    # sticks out on two opposite sides.
    fits = all((taps - 1) * dilation < size for size, taps, _, dilation in axes)
    return window.pad_code == 0 and not form.offset and fits
