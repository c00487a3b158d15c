"""What a file's codes have to be, given the codes that they come from.

Sums of codes are the same in every order. Sums of other floats are not, so
their codes are known up to rounding only: a range instead of a number.
"""

import copy
import functools

import keras
import numpy as np
import tensorflow as tf

from keras_aqe.converters.graph import folding
from keras_aqe.converters.graph import nodes as g
from keras_aqe.converters.graph.known import is_known, is_selection
from keras_aqe.converters.targets.emitter import Emitter

# Half of the distance between 1 and the next float32.
_ROUNDING = 2.0**-24
# float32 holds whole numbers up to here.
_EXACT = 2.0**24
# Sides to which rounding may take all numbers; `None` chooses for each.
_SIDES = (1, -1, None, None)
# Operations that return what IEEE 754 asks for in every engine.
_EXACT_LAYERS = (
    keras.layers.Add,
    keras.layers.Maximum,
    keras.layers.Minimum,
    keras.layers.ReLU,
    keras.layers.Subtract,
)
_AVERAGES = (
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
)


class Reference(Emitter):
    """Computes the codes of a graph from given inputs and codes.

    Args:
        graph: A `nodes.Graph`.
        inputs: An array for each of its inputs.
        codes: Codes that are given, `{node: array}`.
    """

    def __init__(self, graph, inputs, codes):
        super().__init__(graph)
        self._tensors = {
            node: tf.convert_to_tensor(value, node.dtype)
            for node, value in zip(graph.inputs, inputs)
        }
        self._given = {}
        for node, x in codes.items():
            self._given[node] = tf.constant(x)
            if isinstance(node, g.Pad):
                self._given[node.source] = _unpadded(node, x)
        self._errors = {}
        self._random = np.random.default_rng(0)

    def tensor(self, node):
        return (
            self._given[node] if node in self._given else super().tensor(node)
        )

    def codes(self, node):
        """The least and the largest codes that a quantizer may return.

        Args:
            node: A `nodes.Threshold` or `nodes.Quantize`, or what reorders
                the codes of one. Its own codes are not taken from those that
                are given.

        Returns:
            Two arrays of the shape of its codes, which differ where a sum
            lies within rounding of a threshold.
        """
        if isinstance(node, g.Apply):
            codes = self.codes(node.args[0])
            return tuple(node.operation(x).numpy() for x in codes)
        if isinstance(node, g.Pad):
            codes = self.codes(node.source)
            return tuple(
                self._pad(node, x, node.pads, node.code).numpy() for x in codes
            )
        if isinstance(node, g.Threshold):
            total, error = self._total(node.source)
            return self._compared(node, total - error, total + error)
        value, error = self.value(node.source), self.error(node.source)
        found = [
            self._quantized(node, x)
            for x in (value, value - error, value + error)
        ]
        return np.minimum.reduce(found), np.maximum.reduce(found)

    def _quantized(self, node, x):
        factor = 1.0 if node.levels is None else 1 / node.unit
        return (node.quantizer.hard(x) * factor).numpy()

    def _compared(self, node, low, high):
        low, high = tf.cast(low, tf.float32), tf.cast(high, tf.float32)
        for step in node.steps:
            if callable(step):
                low, high = step(low), step(high)
            else:
                low, high = low * step, high * step
                low, high = tf.minimum(low, high), tf.maximum(low, high)
        levels = node.levels.astype("float32")
        return tuple(
            levels[sum(np.int64(x.numpy() >= t) for t in node.thresholds)]
            for x in (low, high)
        )

    def is_rounded(self, node):
        """Whether rounding decides about some codes of a quantizer."""
        waiting = [g.quantization(node).source]
        while waiting:
            source = waiting.pop()
            if isinstance(source, g.Sum):
                if not _is_exact(source):
                    return True
            elif isinstance(source, g.Cast):
                waiting.append(source.source)
            elif isinstance(source, g.Apply) and source.levels is None:
                if not _rounds_alike(source):
                    return True
                waiting.extend(source.sources())
        return False

    # Sums.

    def _write_sum(self, node):
        return tf.cast(self._total(node)[0], tf.float32)

    def _total(self, node):
        """The sum in double precision, and how far float32 may be off."""
        key = ("total", node)
        if key not in self._tensors:
            self._tensors[key] = self._write_total(node)
        return self._tensors[key]

    def _write_total(self, node):
        x = tf.cast(self.tensor(node.source), tf.float64)
        if isinstance(node.source, g.Sum):
            x = tf.cast(self.value(node.source), tf.float64)
        total = self._double(node, x, node.kernel)
        if _is_exact(node):
            return total, tf.zeros_like(total)
        kernel = np.abs(node.kernel)
        mass = self._double(node, tf.abs(x), kernel)
        terms = kernel[..., 0].size
        error = mass * (2 * _ROUNDING * min(terms, 8 * terms**0.5))
        grid = _grid(x.numpy()) * _grid(node.kernel)
        if node.source.levels is None and (
            np.max(mass, initial=0) <= _EXACT * grid
        ):
            error = tf.zeros_like(error)
        before = tf.cast(self.error(node.source), tf.float64)
        return total, error + self._double(node, before, kernel)

    def _double(self, node, x, kernel):
        """A sum with another input and kernel, in double precision."""
        other = copy.copy(node)
        other.kernel = kernel.astype("float64")
        if node.window is None:
            return tf.matmul(x, other.kernel)
        if len(node.shape) == 3:
            return tf.squeeze(self._conv2d(other, x[:, None]), 1)
        return self._conv2d(other, x)

    # Floats.

    def _scaled(self, node, x):
        if not isinstance(node, g.Sum):
            return super()._scaled(node, x)
        x, _ = self._argument(node)
        return x if node.activation is None else node.activation(x)

    def _argument(self, node):
        """What a sum's activation is given, and how far rounding takes it."""
        total, error = self._total(node)
        if node.offset is not None:
            total = total + node.offset
        x = tf.cast(total * node.unit, tf.float32)
        error = tf.cast(error * node.unit, tf.float32)
        if node.bias is None and _is_exact(node):
            return x, error
        bias = 0.0 if node.bias is None else node.bias
        largest = tf.abs(x) + tf.abs(bias)
        return x + bias, error + 4 * _ROUNDING * largest

    def error(self, node):
        """How far rounding may take the value of a node; not negative."""
        if node not in self._errors:
            self._errors[node] = self._write_error(node)
        return self._errors[node]

    def _write_error(self, node):
        value = self.value(node)
        if isinstance(node, g.Sum):
            return self._activated_error(node, value)
        if isinstance(node, g.Cast) and value.dtype.is_floating:
            return self.error(node.source)
        if (
            not isinstance(node, g.Apply)
            or node.levels is not None
            or not value.dtype.is_floating
        ):
            return _none(value)
        return self._applied_error(node, value)

    def _activated_error(self, node, value):
        """How far a sum's activation moves if its argument does."""
        x, error = self._argument(node)
        if node.activation is None:
            return error
        moved = _none(value)
        for side in _SIDES:
            y = node.activation(self._shifted(x, error, side))
            moved = tf.maximum(moved, tf.abs(y - value))
        inner = _inner_size(node.activation, x)
        return 2 * moved + 4 * _ROUNDING * (tf.abs(value) + inner)

    def _applied_error(self, node, value):
        """How far the result moves if the arguments do."""
        alike = _rounds_alike(node)
        errors = {source: self.error(source) for source in node.sources()}
        if not alike and not self._averages_exactly(node):
            for source in errors:
                size = tf.abs(tf.cast(self.value(source), tf.float32))
                errors[source] = errors[source] + 8 * _ROUNDING * size
        elif alike and not any(np.any(error) for error in errors.values()):
            return _none(value)
        moved = _none(value)
        for side in _SIDES:
            read = functools.partial(self._moved, errors, side)
            y = self._applied(node, read)
            moved = tf.maximum(moved, tf.abs(y - value))
        if alike:
            return 2 * moved
        size = tf.abs(value)
        if is_known(node.operation, (keras.layers.Activation,)):
            argument = self.value(node.sources()[0])
            size += _inner_size(node.operation.activation, argument)
        return 2 * moved + 4 * _ROUNDING * size

    def _averages_exactly(self, node):
        """Whether an average pool only rounds when it divides."""
        if not is_known(node.operation, _AVERAGES):
            return False
        x = self.value(node.sources()[0]).numpy()
        largest = np.abs(x).max(initial=0) * x[0, ..., 0].size
        return largest <= _EXACT * _grid(x)

    def _moved(self, errors, side, source):
        return self._shifted(self.value(source), errors[source], side)

    def _shifted(self, x, error, side):
        """Floats off by their error to a side, other values as they are."""
        if not x.dtype.is_floating:
            return x
        side = side or self._random.choice([-1, 1], x.shape)
        return x + error * np.float32(side)


def _unpadded(node, x):
    """Of the codes of a `nodes.Pad` those that it pads."""
    inside = [
        slice(before, size - behind)
        for size, (before, behind) in zip(x.shape, node.pads)
    ]
    return tf.constant(x[tuple(inside)])


def _inner_size(activation, x):
    """How large the numbers are that cancel, as in GELU's x * (1 + erf(x))."""
    return _none(x) if folding.is_monotone(activation) else tf.abs(x)


def _none(value):
    return tf.zeros(value.shape, tf.float32)


def _is_exact(node):
    """Whether all engines get the same sum, for every input."""
    if node.levels is None:
        return False
    reach = np.abs(node.levels[-1]) / np.abs(node.source.levels).max()
    return all(_adds_exactly(image, reach) for image in _images(node.source))


def _images(node):
    """The `Pixels` whose elements a node of whole numbers holds."""
    if isinstance(node, g.Pixels):
        return [node]
    sources = node.sources() if node.is_image else []
    return [image for source in sources for image in _images(source)]


def _adds_exactly(image, reach):
    """Whether Keras's floats of an image add up without rounding."""
    pixels = np.arange(256.0)[:, None] + np.iinfo(image.pixels.dtype).min
    whole = pixels * image.scale + image.offset
    largest = np.abs(image.table).max() * reach
    return np.array_equal(image.unit * whole, image.table) and (
        largest <= _EXACT * _grid(image.table)
    )


def _rounds_alike(node):
    """Whether every engine gets the same float from the same floats."""
    layer = node.operation
    return (
        is_known(layer, _EXACT_LAYERS)
        or is_selection(layer)
        or folding.is_hard_tanh(layer)
        or folding.power_of_two(layer) is not None
    )


def _grid(values):
    """The largest power of two that all numbers are multiples of."""
    values = np.asarray(values, "float64")
    mantissas, exponents = np.frexp(values[values != 0])
    whole = (mantissas * 2.0**53).astype("int64")
    lowest = (whole & -whole).astype("float64")
    return np.ldexp(lowest, exponents - 53).min(initial=np.inf)
