"""Writes the inference graph as TensorFlow operators.

Codes and accumulators are whole numbers held in float32, where sums up to
2^24 are exact.
"""

import contextlib
import dataclasses
import re

import numpy as np
import tensorflow as tf

from keras_aqe import quantizers
from keras_aqe.converters.errors import ConversionError, naming, raise_all
from keras_aqe.converters.file import custom_ops
from keras_aqe.converters.file.codes import Stored
from keras_aqe.converters.graph import calls
from keras_aqe.converters.graph import nodes as g
from keras_aqe.converters.graph.known import (
    is_known,
    is_reshape,
    is_selection,
)
from keras_aqe.converters.targets import checks, dtypes, node_names, numerics
from keras_aqe.layers.quantized import same_padding

# A name that TensorFlow takes and that means nothing else in a file.
_PLAIN_NAME = "(?!(input|output|n[0-9]))[A-Za-z][A-Za-z0-9_.]{0,63}"


class Emitter:
    """Writes nodes as TensorFlow operators for the interpreter of TFLite.

    Args:
        graph: A `nodes.Graph`.

    Attributes:
        prefix: What the names of the target's custom operators begin with.
        batch: Size of a batch, `None` for any, or for the one that the model
            fixes.
        input_dtypes: What the target's interpreters take.
    """

    prefix: str = ""
    batch: int | None = None
    input_dtypes: tuple[str, ...] = dtypes.ALL

    def __init__(self, graph):
        self.graph = graph

    def model(self):
        """Converts the graph.

        Returns:
            The parsed file, as from `flatbuffer.read`, and for each quantizer
            whose codes the file holds, its node and where, as a
            `codes.Stored`.
        """
        model, inner = custom_ops.to_model(self._function())
        # Codes stay where the next operator has taken in what makes them.
        numerics.mend(model, inner.values())
        stored = {
            node: dataclasses.replace(
                form, tensors=tuple(inner[name] for name in form.tensors)
            )
            for node, form in self._inner.items()
        }
        graph = model.subgraphs[0]
        for node, form in stored.items():
            for index in form.tensors:
                # As an output it lost its name; outputs of the file keep it.
                tensor = graph.tensors[index]
                if index not in graph.outputs and not tensor.name.startswith(
                    b"n"
                ):
                    scope = node_names.scope(_written(node))
                    tensor.name = scope.encode() + tensor.name
        checks.check(model, self.graph, self.prefix)
        return model, stored

    def _function(self):
        """A `tf.function` from the inputs to the outputs.

        Codes that stand in between are outputs as well, whose names begin
        with `custom_ops.INNER`.
        """
        signature = [
            tf.TensorSpec(
                (self.batch or node.batch, *node.shape[1:]),
                self._input_dtype(node),
                self._argument(index, node.name),
            )
            for index, node in enumerate(self.graph.inputs)
        ]

        @tf.function(input_signature=signature, autograph=False)
        def infer(*inputs):
            self._tensors = dict(zip(self.graph.inputs, inputs))
            outputs = {
                f"output_{index:03}": tf.identity(output)
                for index, output in enumerate(self.outputs())
            }
            self._inner, inner = {}, {}
            computed = _computed(outputs.values())
            for node in self.graph.codes:
                # Nothing is computed only to be looked at.
                for form in self._forms(node):
                    if computed.issuperset(t.ref() for t in form.tensors):
                        names = tuple(
                            f"{custom_ops.INNER}{len(inner) + plane:05}"
                            for plane in range(len(form.tensors))
                        )
                        inner |= dict(zip(names, form.tensors))
                        self._inner[node] = dataclasses.replace(
                            form, tensors=names
                        )
                        break
            return outputs | inner

        return infer

    def _input_dtype(self, node):
        if node.dtype not in self.input_dtypes:
            raise ConversionError(
                f"Input {node.name!r} has dtype {node.dtype}, which files of "
                "this target cannot take. Give it one of "
                f"{list(self.input_dtypes)}.",
                node.name,
            )
        return node.dtype

    def _argument(self, index, name):
        """What TensorFlow calls an input."""
        plain = re.sub("[^A-Za-z0-9_]", "_", name)[:64]
        if len(self.graph.inputs) == 1 and re.fullmatch(_PLAIN_NAME, name):
            return name
        # Converters sort inputs and outputs by name.
        return f"input_{index:03}_{plain}"

    def _forms(self, node):
        """Forms of a node's codes, or of those that it moves or pads."""
        yield from self.stored(node)
        if isinstance(node, g.Apply) and is_reshape(node.operation):
            (source,) = node.args
            for form in self._forms(source):
                channels = form.channels or source.shape[-1]
                if form.pads is None:
                    yield dataclasses.replace(form, channels=channels)
        if isinstance(node, g.Pad):
            for form in self._forms(node.source):
                if form.pads is None:
                    yield dataclasses.replace(
                        form, pads=node.pads, pad_code=node.code
                    )

    def stored(self, node):
        """The forms that a node's codes were written in, each a `Stored`."""
        if node in self._tensors:
            yield Stored((self._tensors[node],))

    def outputs(self):
        """The values of the graph's outputs."""
        errors = []
        # One node after the other, since deep networks are deeper than
        # Python's stack.
        for node in self.graph.nodes:
            try:
                with naming(node):
                    self.write(node)
            except ConversionError as error:
                errors.append(error)
        raise_all(errors)
        return [self.value(node) for node in self.graph.outputs]

    def write(self, node):
        """Writes a node whose sources are written."""
        self.tensor(node)

    def tensor(self, node):
        """What the node's tensor holds: codes, accumulators or floats."""
        if node not in self._tensors:
            write = getattr(self, f"_write_{type(node).__name__.lower()}")
            with self._scope(node):
                self._tensors[node] = write(node)
        return self._tensors[node]

    @contextlib.contextmanager
    def _scope(self, node):
        """Names operators and errors after a node."""
        with naming(node), tf.name_scope(node_names.scope(node)):
            yield

    def value(self, node):
        """The float value of a node, as its Keras layer returns it."""
        if _is_whole_image(node):
            with self._scope(node):
                return self._applied(node, self.value)
        x = self.tensor(node)
        with self._scope(node):
            return self._scaled(node, x)

    def _scaled(self, node, x):
        if isinstance(node, g.Sum) and node.offset is not None:
            x = x + node.offset
        if node.unit != 1:
            x = x * node.unit
        if node.levels is not None and node.dtype != "float32":
            x = tf.cast(x, node.dtype)
        if isinstance(node, g.Sum):
            if node.bias is not None:
                x = x + node.bias
            if node.activation is not None:
                x = node.activation(x)
        return x

    def _write_apply(self, node):
        read = self.tensor if node.levels is not None else self.value
        if (
            node.dtype in dtypes.NARROW_INTEGERS
            and node.levels is None
            and is_selection(node.operation)
        ):
            # Interpreters would take them for codes.
            y = self._applied(node, lambda x: tf.cast(read(x), tf.float32))
            return tf.cast(y, node.dtype)
        y = self._applied(node, read)
        if node.levels is None and y.dtype != node.dtype:
            raise ConversionError(
                f"Layer {node.name!r} says that it returns {node.dtype}, but "
                f"returns {y.dtype.name}. Mend its `compute_output_spec`."
            )
        return y

    def _applied(self, node, read):
        unrolled = contextlib.nullcontext()
        if self.batch is None:
            unrolled = calls.unrolled(node)
        with unrolled:
            return calls.apply(node.operation, node.args, node.kwargs, read)

    def _write_cast(self, node):
        return tf.cast(self.value(node.source), node.dtype)

    def _write_pixels(self, node):
        if node.levels is None:
            return self._applied(node, self.value)
        pixels = tf.cast(self.tensor(node.pixels), tf.float32)
        return pixels * node.scale + node.offset

    def _write_quantize(self, node):
        x = self.value(node.source)
        if is_known(node.quantizer, (quantizers.Float16,)):
            # XLA and TFLite keep this pair of casts, unlike bit operations.
            limit = np.finfo("float16").max
            x = tf.clip_by_value(x, -limit, limit)
            return tf.cast(tf.cast(x, tf.float16), tf.float32)
        if is_known(node.quantizer, (quantizers.Binary,)):
            return self._sign(x)
        return node.quantizer.hard(x) * (1 / node.unit)

    def _sign(self, x):
        return tf.where(x >= 0, 1.0, -1.0)

    def _write_pad(self, node):
        x = self.tensor(node.source)
        return self._pad(node, x, node.pads, node.code)

    def _write_spread(self, node):
        x = self.tensor(node.source)
        batch, height, width, channels = node.source.shape
        down, right = node.strides
        # Few interpreters pad more than four axes: rows and columns in turn.
        x = tf.reshape(x, (-1, height, 1, width * channels))
        x = self._pad(node, x, ((0, 0), (0, 0), (0, down - 1), (0, 0)))
        x = tf.reshape(x, (-1, height * down * width, 1, channels))
        x = self._pad(node, x, ((0, 0), (0, 0), (0, right - 1), (0, 0)))
        x = tf.reshape(x, (-1, height * down, width * right, channels))
        return x[:, : node.shape[1], : node.shape[2]]

    def _write_shift(self, node):
        return self.tensor(node.source) - node.by

    def _write_sum(self, node):
        x = self.tensor(node.source)
        if node.window is None:
            return self._matmul(node, x)
        if len(node.shape) == 4:
            return self._conv2d(node, x)
        return tf.squeeze(self._conv2d(node, x[:, None]), 1)

    def _matmul(self, node, x):
        if len(node.kernel) > 1 or None in node.shape[1:]:
            return tf.matmul(x, node.kernel)
        # Products of one number each would become a MUL, which is no layer's.
        x = tf.reshape(x, (-1, 1, 1, 1))
        x = tf.nn.conv2d(x, node.kernel[None, None], 1, "VALID")
        return tf.reshape(x, (-1, *node.shape[1:]))

    def _conv2d(self, node, x):
        x, padding = self._padded(node, x)
        if (
            node.kernel.shape[2] == 1
            and node.groups > 1
            and (len(set(node.window.strides)) == 1)
        ):
            kernel = node.kernel.reshape(
                *node.kernel.shape[:2], node.groups, -1
            )
            return tf.nn.depthwise_conv2d(
                x,
                kernel,
                strides=(1, *node.window.strides, 1),
                padding=padding,
                dilations=node.window.dilation,
            )
        return tf.nn.conv2d(
            x,
            node.kernel,
            strides=node.window.strides,
            padding=padding,
            dilations=node.window.dilation,
        )

    def _padded(self, node, x):
        """The input of a convolution, and 'SAME' or 'VALID' for the rest."""
        window = node.window
        pads = list(window.pads)
        same = [
            same_padding(*axis)
            for axis in zip(
                x.shape[1:3],
                node.kernel.shape[:2],
                window.strides,
                window.dilation,
            )
        ]
        if pads == [(0, 0), (0, 0)]:
            return x, "VALID"
        if pads == same and window.pad_code == 0:
            return x, "SAME"
        paddings = [(0, 0), *pads, (0, 0)]
        return self._pad(node.source, x, paddings, window.pad_code), "VALID"

    def _pad(self, node, x, paddings, code=0.0):
        """A tensor of the node's codes with more codes around them."""
        return tf.pad(x, paddings, constant_values=code)

    def _write_threshold(self, node):
        return self._compare(node, self.tensor(node.source))

    def _compare(self, node, x):
        for step in node.steps:
            x = step(x) if callable(step) else x * step
        codes = node.levels.astype("float32")
        if np.array_equal(codes, [-1, 1]):
            return self._sign_from(x, node)
        rises = np.diff(codes)
        return codes[0] + tf.add_n(
            [
                rise * tf.cast(x >= threshold, tf.float32)
                for rise, threshold in zip(rises, node.thresholds)
            ]
        )

    def _sign_from(self, x, node):
        return tf.where(x >= node.thresholds[0], 1.0, -1.0)


def _computed(outputs):
    """References to all tensors that outputs are computed from."""
    waiting = list(outputs)
    found = {tensor.ref() for tensor in waiting}
    while waiting:
        for tensor in waiting.pop().op.inputs:
            if tensor.ref() not in found:
                found.add(tensor.ref())
                waiting.append(tensor)
    return found


def _written(node):
    """The codes of a node in the graph, without padding that windows do."""
    while node.number is None:
        node = node.source
    return node


def _is_whole_image(node):
    """Whether a node's tensor holds whole numbers in place of Keras's floats.

    Those times the unit are Keras's values but for rounding.
    """
    return (
        isinstance(node, g.Apply) and node.is_image and node.levels is not None
    )
