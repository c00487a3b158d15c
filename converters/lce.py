"""`target="lce"`: quantized layers as Larq Compute Engine operators.

LCE multiplies ±1 by ±1. Codes of any width are written as planes (see
`keras_aqe.converters.planes`), and a layer as the sum of one `LceBconv2d` for
each pair of an input plane and a kernel plane, whose factors it carries.
"""

import functools
import importlib.util
import operator
import re
import tempfile

import keras
import numpy as np
import tensorflow as tf

from keras_aqe.converters import flatbuffer
from keras_aqe.converters import nodes as g
from keras_aqe.converters.emission import Emitter
from keras_aqe.converters.errors import ConversionError
from keras_aqe.converters.planes import planes
from keras_aqe.layers.quantized import same_padding
from keras_aqe.summary import operation

_FLOAT_OPERATORS = {
    "BATCH_MATMUL",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "TRANSPOSE_CONV",
}
# float32 holds all multiples of 1/2 up to here.
_EXACT = 2**23
# The negative number nearest to 0.
_BELOW_ZERO = -np.finfo("float32").smallest_subnormal


def emit(graph, strict):
    """Writes a graph whose quantized layers LCE runs as XNOR.

    Dense layers become convolutions, since LCE has no binary dense layer. A
    quantized layer on the image keeps a builtin float convolution with the
    codes of its kernel.

    Args:
        graph: A `keras_aqe.converters.nodes.Graph`.
        strict: Whether a layer that LCE cannot run as XNOR is an error.

    Returns:
        The file as bytes, and a pair for each quantized layer in file order:
        its `nodes.Sum` and the number of operators that carry it.

    Raises:
        ConversionError: If LCE is not installed, a quantized layer cannot run
            as XNOR and `strict` is true, or sums are too large to be exact.
    """
    require()
    from larq_compute_engine.mlir.python import converter

    emitter = LceEmitter(graph, strict)
    module = tf.Module()
    module.infer = emitter.function(batch=1)
    # A SavedModel only takes variables that its module knows of.
    module.weights = module.infer.get_concrete_function().variables
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=module.infer)
        data = converter.convert_saved_model(folder)
    if strict:
        _check_file(data, emitter.sums)
    return flatbuffer.in_signature_order(data), emitter.sums


def require():
    """Raises `ConversionError` if LCE cannot be used here."""
    if importlib.util.find_spec("larq_compute_engine") is None:
        raise ConversionError(
            "target='lce' needs Larq Compute Engine, which is not installed. "
            "Install it with `pip install 'keras-aqe[lce]'`."
        )
    if int(np.__version__.split(".")[0]) >= 2:
        raise ConversionError(
            "Larq Compute Engine needs NumPy below 2: its interpreter was "
            f"built against NumPy 1. Installed is NumPy {np.__version__}. "
            "Install a fitting one with `pip install 'keras-aqe[lce]'`."
        )


class LceEmitter(Emitter):
    """Writes the patterns that LCE's converter turns into its operators.

    Sums, and the codes between two of them, keep four axes whatever their
    shape in Keras, so that LCE finds nothing in between and keeps bits packed.
    """

    def __init__(self, graph, strict):
        super().__init__(graph)
        self.strict = strict

    def _write_sum(self, node):
        # LCE would fold what follows (a batch normalisation, a constant) into
        # the scale and bias of its operator, which rounds differently and,
        # where the constant has rows and columns, is wrong. No sum is below
        # this bound.
        x = tf.maximum(self._spatial(node), -2.0 * _EXACT)
        return tf.reshape(x, (-1, *node.shape[1:]))

    def _write_threshold(self, node):
        return tf.reshape(self._spatial(node), (-1, *node.shape[1:]))

    def _write_quantize(self, node):
        if node.bits == 1:
            return self._sign_of_float(self.value(node.source))
        return super()._write_quantize(node)

    def _write_apply(self, node):
        x = super()._write_apply(node)
        if isinstance(node.operation, keras.layers.ZeroPadding2D):
            # LCE would take this padding for 'same' wherever the sizes of a
            # convolution after it allow that, although 'same' pads less in
            # front. Nothing is below this bound either.
            x = tf.maximum(x, tf.float32.min)
        return x

    def _sign(self, x):
        # LCE knows this form only. The file's names are cut after 50
        # characters, so these are short.
        return tf.where(tf.greater_equal(x, 0.0, "ge"), 1.0, -1.0, "sign")

    def _sign_of_float(self, x):
        # On ARM, LCE takes the sign bit, which -0.0 has too.
        return self._sign(x - _BELOW_ZERO)

    def _spatial(self, node):
        """The node's tensor with axes for batch, rows, columns, channels."""
        key = ("spatial", node)
        if key not in self._tensors:
            self._tensors[key] = self._write_spatial(node)
        return self._tensors[key]

    def _write_spatial(self, node):
        if isinstance(node, g.Sum):
            return self._accumulators(node)
        if isinstance(node, g.Threshold):
            return self._codes(node)
        return _with_four_axes(self.tensor(node))

    def _accumulators(self, node):
        if not _has_planes(node):
            self._check(node)
            self.tensor(node.source)
            with self._scope():
                return _with_four_axes(super()._write_sum(node))
        source = _before_flatten(node.source)
        kernel = _kernel(node, self._spatial(source).shape)
        inputs, input_signs, padding = self._padded_planes(
            node.window, source, kernel
        )
        weights = planes(np.unique(kernel))
        _check_exact(node, kernel, inputs, weights)
        weight_signs = weights.signs(kernel, _sign)
        with self._scope():
            terms = [
                _total(
                    _conv2d(node, x, input_factor * factor * signs, padding)
                    for factor, signs in zip(weights.factors, weight_signs)
                )
                for input_factor, x in zip(inputs.factors, input_signs)
            ]
            if inputs.offset:
                terms.append(inputs.offset * kernel.sum(axis=(0, 1, 2)))
            total = _total(terms)
        self.sums.append((node, len(input_signs) * len(weight_signs)))
        return total

    def _scope(self):
        """Names the operators of the next sum, also in the finished file."""
        return tf.name_scope(_scope(len(self.sums)))

    def _padded_planes(self, window, source, kernel):
        """The planes of a layer's input and what is left to pad."""
        if window is None or not np.any(window.pads):
            return *self._planes(source), "VALID"
        sizes = self._spatial(source).shape[1:3]
        is_same = window.pads == tuple(
            same_padding(*axis)
            for axis in zip(
                sizes, kernel.shape[:2], window.strides, window.dilation
            )
        )
        # LCE takes what it has added at padded positions off again, but only
        # where no window sticks out on two opposite sides.
        fits = all(
            (taps - 1) * dilation < size
            for taps, dilation, size in zip(
                kernel.shape, window.dilation, sizes
            )
        )
        form, signs = self._planes(source)
        if is_same and window.pad_code == 0 and fits and not form.offset:
            return form, signs, "SAME"
        if is_same and window.pad_code == 1 and len(signs) == 1:
            pads = [(0, 0), *window.pads, (0, 0)]
            signs = [tf.pad(signs[0], pads, constant_values=1.0)]
            return form, signs, "VALID"
        return *self._planes(source, window.pads, window.pad_code), "VALID"

    def _planes(self, node, pads=None, pad_code=0):
        """A node's `Planes` and the ±1 tensor of each."""
        key = ("planes", node, pads, pad_code)
        if key not in self._tensors:
            self._tensors[key] = self._write_planes(node, pads, pad_code)
        return self._tensors[key]

    def _write_planes(self, node, pads, pad_code):
        if pads is None and _compares_planes(node):
            return planes(node.levels), self._comparisons(node)
        codes, levels = self._spatial(node), node.levels
        if pads is not None:
            pads = [(0, 0), *pads, (0, 0)]
            codes = tf.pad(codes, pads, constant_values=float(pad_code))
            levels = np.union1d(levels, pad_code)
        form = planes(levels, offset=True)
        return form, form.signs(codes, self._sign)

    def _codes(self, node):
        """The codes of a `Threshold`."""
        if _compares_planes(node):
            form, signs = self._planes(node)
            return _total(
                factor * sign for factor, sign in zip(form.factors, signs)
            )
        codes = node.levels.astype("float32")
        x = self._stepped(node)
        return codes[0] + _total(
            float(rise) * tf.cast(x >= threshold, tf.float32)
            for rise, threshold in zip(np.diff(codes), node.thresholds)
        )

    def _comparisons(self, node):
        """The ±1 of each threshold."""
        x = self._stepped(node)
        thresholds = node.thresholds
        if node.source.levels is None:
            thresholds = np.where(thresholds == 0, _BELOW_ZERO, thresholds)
        else:
            # A half between whole numbers keeps ties out.
            thresholds = thresholds - np.float32(0.5)
        return [self._sign(x - threshold) for threshold in thresholds]

    def _stepped(self, node):
        """The sums of a `Threshold` after its steps."""
        x = self._spatial(node.source)
        rank = len(node.source.shape)
        for step in node.steps:
            if not callable(step):
                x = x * step
            elif rank == 4:
                x = step(x)
            else:
                x = _with_four_axes(step(tf.reshape(x, (-1, *x.shape[-2:]))))
        return x

    def _check(self, node):
        reason = _obstacle(node)
        if reason and self.strict:
            raise ConversionError(
                f"Layer {node.name!r} would not run as XNOR under "
                f"target='lce': {reason} Pass strict=False to accept a float "
                "convolution in its place."
            )


def _check_file(data, sums):
    """Raises if a layer that has planes runs in float all the same."""
    model = flatbuffer.read(data)
    graph = model.subgraphs[0]
    for name, carrier in zip(flatbuffer.operator_names(model), graph.operators):
        output = graph.tensors[carrier.outputs[0]].name.decode()
        if name not in _FLOAT_OPERATORS:
            continue
        for index in map(int, re.findall(_scope("([0-9]{4,})"), output)):
            node = sums[index][0]
            if _has_planes(node):
                raise ConversionError(
                    f"Layer {node.name!r} came out as {name} and not as "
                    "LceBconv2d, so it would run in float. Pass strict=False "
                    "to accept that, or use target='tflite'."
                )


def _scope(index):
    return f"sum_{index:0>4}"


def _sign(x):
    return np.where(x >= 0, 1.0, -1.0)


def _total(terms):
    return functools.reduce(operator.add, terms)


def _with_four_axes(x):
    if len(x.shape) == 4:
        return x
    return tf.reshape(
        x, (-1, 1, np.prod(x.shape[1:-1], dtype=int), x.shape[-1])
    )


def _conv2d(node, x, kernel, padding):
    strides, dilation = (1, 1), (1, 1)
    if node.window is not None:
        strides, dilation = node.window.strides, node.window.dilation
    return tf.nn.conv2d(
        x, kernel.astype("float32"), strides, padding, dilations=dilation
    )


def _kernel(node, shape):
    """A layer's kernel as that of one convolution without groups."""
    kernel = node.kernel
    if node.window is None:
        flat = len(node.source.shape) == 2
        covered = shape[1:] if flat else (1, 1, shape[-1])
        return kernel.reshape(*covered, kernel.shape[-1])
    if node.groups == 1:
        return kernel
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


def _before_flatten(node):
    """The codes before a flatten, since a kernel can cover them as well."""
    while isinstance(node, g.Apply) and (
        isinstance(node.operation, keras.layers.Flatten)
    ):
        node = node.args[0]
    return node


def _compares_planes(node):
    """Whether each threshold of a node is one of its planes."""
    return isinstance(node, g.Threshold) and len(node.levels) <= 3


def _has_planes(node):
    """Whether a layer is written as sums over planes."""
    return (
        node.source.levels is not None
        and node.weight_bits <= 8
        and min(node.source.bits, node.weight_bits) <= 4
    )


def _check_exact(node, kernel, inputs, weights):
    axes = (0, 1, 2)
    largest = max(
        weights.reach * np.prod([kernel.shape[axis] for axis in axes]),
        inputs.reach * np.abs(kernel).sum(axis=axes).max(),
    )
    if largest >= _EXACT:
        raise ConversionError(
            f"Layer {node.name!r} has sums up to {int(largest):,}, and LCE "
            f"adds in float32, which is exact up to {_EXACT:,} only. Use "
            "target='packed', fewer bits or fewer inputs."
        )


def _obstacle(node):
    """Why LCE cannot run a quantized layer as XNOR; `None` if it can."""
    source = node.source
    if "MAC" in operation(source.bits, node.weight_bits) or source.is_image:
        return None
    if source.bits == 32:
        return (
            "its input is neither quantized nor the network's own input. Give "
            "it `input_quantizer='binary'`, or put "
            "`QuantActivation('binary')` before it."
        )
    wide = "input" if source.bits > 8 else "kernel"
    bits = max(source.bits, node.weight_bits)
    return (
        f"its {wide} has {bits} bits, which are floats and no sum of a few "
        "±1. Quantize it to 8 bits or fewer."
    )
