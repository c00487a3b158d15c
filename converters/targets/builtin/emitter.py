"""`target="tflite"`: builtin operators only, on int8."""

import keras
import numpy as np
import tensorflow as tf

from keras_aqe.converters.errors import ConversionError
from keras_aqe.converters.file.builtin_ops import Constant
from keras_aqe.converters.graph import nodes as g
from keras_aqe.converters.graph.known import (
    is_channels_last,
    is_known,
    is_max_pool,
    is_reshape,
)
from keras_aqe.converters.targets.builtin import fits, int8
from keras_aqe.converters.targets.builtin.channels import Channels
from keras_aqe.converters.targets.builtin.operators import (
    PLACEHOLDER,
    Operators,
)
from keras_aqe.converters.targets.emitter import Emitter

# Layers whose Keras code runs on int8 as it does on floats.
_MOVES = (
    keras.layers.Concatenate,
    keras.layers.Cropping1D,
    keras.layers.Cropping2D,
    keras.layers.Permute,
)
_ZERO_PADDINGS = (keras.layers.ZeroPadding1D, keras.layers.ZeroPadding2D)
_POOLS = (keras.layers.MaxPooling1D, keras.layers.MaxPooling2D)
# Multiplied with this, any difference of two float32 sums is beyond 6.
_GAIN = 2.0**60
# RELU6 then limits to 0 and 1.
_STEP_SCALE = 5.0
# Rounds 1 and all above it to 1 or more. From 1 on, engines would double sums
# first, which then leave int32.
_STEP_MULTIPLIER = 0.75
_POINTWISE = g.Window((1, 1), (1, 1), ((0, 0), (0, 0)))


def emit(graph, options):
    """Writes a graph with builtin operators.

    Codes are int8 tensors whose scale is the node's unit. A sum that feeds
    float, and one of a float input, is a float operator.

    Args:
        graph: A `nodes.Graph`.
        options: A `target.Options`. Under `compact` kernels of dense layers
            take 2 or 4 bits where they fit.

    Returns:
        What `Emitter.to_model` does.
    """
    emitter = BuiltinEmitter(graph, options.compact)
    model, stored = emitter.model()
    emitter.operators.insert(model)
    return model, stored


class BuiltinEmitter(Emitter):
    """Writes nodes whose codes fit as int8 tensors, others as floats.

    Attributes:
        operators: The `Operators` that belong into the file.
    """

    prefix = PLACEHOLDER

    def __init__(self, graph, compact):
        super().__init__(graph)
        self.operators = Operators()
        self._compact = compact

    def write(self, node):
        # Thresholds write their sums themselves.
        if not isinstance(node, g.Sum):
            super().write(node)

    def value(self, node):
        if not fits.is_int8(node):
            return super().value(node)
        x = self.tensor(node)
        with self._scope(node):
            x = self.operators.write(int8.dequantize(), [x], node.shape)
            return x if node.dtype == "float32" else tf.cast(x, node.dtype)

    def _write_apply(self, node):
        if is_reshape(node.operation) and None not in node.shape[1:]:
            # Keras asks for the batch at run time, which XNNPACK cannot.
            read = self.tensor if node.levels is not None else self.value
            return tf.reshape(read(node.args[0]), (-1, *node.shape[1:]))
        if not fits.is_int8(node) or is_known(node.operation, _MOVES):
            return super()._write_apply(node)
        if is_known(node.operation, _ZERO_PADDINGS) and is_channels_last(
            node.operation
        ):
            pads = np.reshape(node.operation.padding, (-1, 2)).tolist()
            x = self.tensor(node.args[0])
            return self._pad(node, x, [(0, 0), *pads, (0, 0)])
        if is_max_pool(node.operation, _POOLS):
            x = self.tensor(node.args[0])
            return self._pool(x, node.operation, node.unit)
        floats = g.Apply(
            node.name,
            node.shape,
            operation=node.operation,
            args=node.args,
            kwargs=node.kwargs,
        )
        return self._quantized(super()._write_apply(floats), node)

    def _write_pixels(self, node):
        x = super()._write_pixels(node)
        return self._quantized(x * node.unit, node) if fits.is_int8(node) else x

    def _write_quantize(self, node):
        codes = super()._write_quantize(node)
        if not fits.is_int8(node):
            return codes
        return self._quantized(codes * node.unit, node)

    def _write_shift(self, node):
        return self._quantized(super()._write_shift(node) * node.unit, node)

    def _quantized(self, x, node):
        return self.operators.write(int8.quantize(node.unit), [x], x.shape)

    def _pool(self, x, layer, unit):
        """Max pooling of codes."""
        shape = layer.compute_output_shape(x.shape)
        rank = len(shape) - 2
        operator = int8.max_pool(layer, rank, unit)
        if rank == 2:
            return self.operators.write(operator, [x], shape)
        x = tf.reshape(x, (-1, 1, *x.shape[1:]))
        x = self.operators.write(operator, [x], (None, 1, *shape[1:]))
        return tf.reshape(x, (-1, *shape[1:]))

    def _write_sum(self, node):
        return self._float_sum(node, 1.0)

    def _pad(self, node, x, paddings, code=0.0):
        if not fits.is_int8(node) or x.dtype != tf.int8:
            return super()._pad(node, x, paddings, code)
        shape = [
            size and size + sum(pads) for size, pads in zip(x.shape, paddings)
        ]
        operator = int8.pad(paddings, code, node.unit)
        return self.operators.write(operator, [x], shape)

    def _float_sum(self, node, gain, signs=1):
        """Accumulators times `gain`, a power of two, as floats."""
        return self._sum_of_products(
            node, node.kernel * signs, gain=gain, name=f"{node.name}/kernel"
        )

    def _sum_of_products(self, node, kernel, gain=None, **arguments):
        """The products of a `graph.Sum` with a kernel of its shape."""
        x, padding = self.tensor(node.source), None
        shape = (None, *node.shape[1:-1], kernel.shape[-1])
        sequence = node.window is not None and len(shape) == 3
        if sequence:
            x = tf.reshape(x, (-1, 1, *x.shape[1:]))
        if not fits.pads_with_int8(node):
            x = self.operators.write(int8.dequantize(), [x], x.shape)
            x = x * (1 / node.source.unit)
        elif node.window is not None:
            _check_pad_code(node)
        if node.window is not None:
            x, padding = self._padded(node, x)
        if gain is not None:
            arguments["kernel_scale"] = gain
            if fits.is_int8(node.source) and x.dtype == tf.int8:
                x = self.operators.write(int8.dequantize(), [x], x.shape)
                arguments["kernel_scale"] = gain / node.source.unit
        operator = int8.sum_of_products(
            kernel,
            window=node.window,
            padding=padding,
            groups=node.groups,
            compact=self._compact,
            **arguments,
        )
        if not sequence:
            return self.operators.write(operator, [x], shape)
        y = self.operators.write(operator, [x], (None, 1, *shape[1:]))
        return tf.reshape(y, (-1, *shape[1:]))

    def _write_threshold(self, node):
        if not fits.is_int8(node):
            return super()._write_threshold(node)
        if (
            fits.is_int8(node.source.source)
            and fits.pads_with_int8(node.source)
            and node.source.levels is not None
            and int8.fits_int8(node.source.kernel)
            and fits.adds_in_int32(node.source)
        ):
            return self._integer_codes(node)
        return self._float_codes(node)

    def _float_codes(self, node):
        """Codes of a sum that is no sum of integers."""
        signs, pools, rest = _split(node.steps)
        gain = _GAIN if int8.fits_int8(node.source.kernel) else 1.0
        x = self._float_sum(node.source, gain, signs)
        if gain == 1:
            x = x * _GAIN
        for step in pools + rest:
            x = step(x) if callable(step) else x * step
        # RELU6 gives 6 above the number before a threshold, else 0.
        steps = {}
        for rise, before in zip(np.diff(node.levels), _before(node.thresholds)):
            with np.errstate(over="ignore"):
                negative = Constant((-before * _GAIN).astype("float32"))
            step = self.operators.write(
                int8.add(None, negative, "relu6"), [x], x.shape
            )
            steps[rise] = steps[rise] + step if rise in steps else step
        if list(node.levels) == [-1, 1]:
            x = self.operators.write(int8.quantize(3.0), [step], x.shape)
            middle = Constant(np.array([-1], "int8"), 3.0)
            operator = int8.add(node.unit, middle, "relu_n1_to_1")
            return self.operators.write(operator, [x], x.shape)
        x = node.levels[0] * node.unit
        for rise, step in steps.items():
            x = x + step * np.float32(rise * node.unit / 6)
        return self._quantized(x, node)

    def _integer_codes(self, node):
        """Codes of a sum of integers, by the rounding of int8 operators."""
        signs, pools, rest = _split(node.steps)
        turned = np.prod([s for s in rest if not callable(s)] or [1], axis=0)
        dense = node.source.window is None
        channels = Channels(
            node,
            signs,
            turned * np.ones(node.shape[-1]),
            int8.LIMITS if self._compact and dense else int8.LIMITS[-1:],
        )
        parts = []
        if channels.exact.any():
            parts.append(self._direct_codes(node, channels, pools))
        if not channels.exact.all():
            parts.append(self._step_codes(node, channels, pools))
        x = parts[0]
        if len(parts) == 2:
            x = self.operators.write(int8.add(node.unit), parts, x.shape)
        for step in rest:
            if callable(step):
                x = self._pool(x, step, node.unit)
            else:
                x = self._mirrored(x, step, channels.mirror, node.unit)
        return x

    def _mirrored(self, x, signs, mirror, unit):
        """Codes, and `mirror` less codes where a sign is -1."""
        operator = int8.multiply(Constant(signs.astype("int8"), 1.0), unit)
        x = self.operators.write(operator, [x], x.shape)
        return self._raised(x, np.where(signs < 0, mirror, 0), unit)

    def _raised(self, x, rises, unit):
        """Codes and a number for each channel."""
        if not rises.any():
            return x
        operator = int8.add(unit, Constant(rises.astype("int8"), unit))
        return self.operators.write(operator, [x], x.shape)

    def _direct_codes(self, node, channels, pools):
        """Codes of the channels whose thresholds one line passes through."""
        found = channels.requantization
        exact = channels.exact
        pattern = channels.pattern
        x = self._sum_of_products(
            node.source,
            channels.kernel * np.where(exact, found.factors, 0),
            name=f"{node.source.name}/kernel",
            scale=pattern.scale or node.unit,
            activation=pattern.activation,
            input_scale=node.source.source.unit,
            multipliers=np.where(exact, found.multipliers, 1.0),
            biases=np.where(exact, found.biases, 0),
        )
        for layer in pools:
            x = self._pool(x, layer, pattern.scale or node.unit)
        if pattern.scale is None:
            return x
        if pattern.index_scale is None:
            one = Constant(np.array([1], "int8"), node.unit / pattern.scale)
            operator = int8.multiply(one, node.unit)
            x = self.operators.write(operator, [x], x.shape)
            first = np.where(exact, node.levels[0], 0)
            return self._raised(x, first, node.unit)
        half = Constant(np.array([1], "int8"), pattern.scale / 2)
        operator = int8.add(pattern.index_scale, half, "relu_n1_to_1")
        x = self.operators.write(operator, [x], x.shape)
        return self._quantized(x, node)

    def _step_codes(self, node, channels, pools):
        """Codes of all other channels: a sum of steps, one a threshold."""
        others = np.flatnonzero(~channels.exact)
        count = len(channels.thresholds)
        rows = np.repeat(others, count)
        name = node.source.name
        x = self._sum_of_products(
            node.source,
            channels.kernel[..., rows],
            name=f"{name}/steps/kernel",
            scale=_STEP_SCALE,
            activation="relu6",
            input_scale=node.source.source.unit,
            multipliers=np.full(len(rows), _STEP_MULTIPLIER),
            biases=1 - channels.thresholds.T[others].reshape(-1),
        )
        for layer in pools:
            x = self._pool(x, layer, _STEP_SCALE)
        rises = np.diff(channels.levels, axis=0)
        size, groups = node.shape[-1], 1
        if len(others) == size:
            groups = size
            kernel = rises[None, None]
        else:
            kernel = np.zeros((1, 1, len(rows), size))
            kernel[0, 0, np.arange(len(rows)), rows] = rises.T[others].ravel()
        operator = int8.sum_of_products(
            kernel,
            window=_POINTWISE,
            padding="VALID",
            groups=groups,
            name=f"{name}/merge/kernel",
            scale=node.unit,
            input_scale=_STEP_SCALE,
            multipliers=np.ones(size),
            biases=np.where(channels.exact, 0, channels.levels[0]),
        )
        shape = (*x.shape[:-1], size)
        if len(shape) == 4:
            return self.operators.write(operator, [x], shape)
        pixels = int(np.prod(shape[1:-1]))
        x = tf.reshape(x, (-1, 1, pixels, len(rows)))
        x = self.operators.write(operator, [x], (None, 1, pixels, size))
        return tf.reshape(x, (-1, *shape[1:]))


def _check_pad_code(node):
    limits = np.iinfo("int8")
    code = node.window.pad_code
    if fits.is_int8(node.source) and not limits.min <= code <= limits.max:
        raise ConversionError(
            f"Layer {node.name!r} has pad_value={node.pad_value:g}, "
            f"code {code:g} of its input, which int8 cannot hold. Use a level "
            "of its input quantizer."
        )


def _split(steps):
    """Signs before the first pooling, the pooling, and all that follows."""
    signs, pools, steps = 1, [], list(steps)
    while steps and not callable(steps[0]):
        signs = signs * steps.pop(0)
    while steps and callable(steps[0]):
        pools.append(steps.pop(0))
    return signs, pools, steps


def _before(thresholds):
    """Numbers just below thresholds, but not so near that 0 is between."""
    gap = np.minimum(
        np.nextafter(thresholds, np.float32(-np.inf)),
        (thresholds.astype("float64") - 2.0**-50).astype("float32"),
    )
    return gap.astype("float64")
