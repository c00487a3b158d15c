"""Writes the inference graph as TensorFlow operators.

Codes and accumulators are whole numbers held in float32, where sums up to
2^24 are exact.
"""

import keras
import numpy as np
import tensorflow as tf

from keras_aqe.converters import graph as g
from keras_aqe.layers.quantized import same_padding


class Emitter:
    """Writes nodes as TensorFlow operators for the interpreter of TFLite.

    Args:
        graph: A `keras_aqe.converters.graph.Graph`.

    Attributes:
        sums: The `graph.Sum` nodes in the order in which they were written.
    """

    def __init__(self, graph):
        self.graph = graph
        self.sums = []

    def function(self, batch):
        """A concrete function from the inputs to the outputs as float32."""
        # Converters sort inputs and outputs by name.
        several = len(self.graph.inputs) > 1
        signature = [
            tf.TensorSpec(
                (batch, *node.shape[1:]),
                node.dtype,
                f"input_{index:03}_{node.name}" if several else node.name,
            )
            for index, node in enumerate(self.graph.inputs)
        ]

        @tf.function(input_signature=signature, autograph=False)
        def infer(*inputs):
            self.sums = []
            self._tensors = dict(zip(self.graph.inputs, inputs))
            outputs = [self.value(node) for node in self.graph.outputs]
            return {
                f"output_{index:03}": tf.identity(output)
                for index, output in enumerate(outputs)
            }

        return infer

    def tensor(self, node):
        """What the node's tensor holds: codes, accumulators or floats."""
        if node not in self._tensors:
            write = getattr(self, f"_write_{type(node).__name__.lower()}")
            self._tensors[node] = write(node)
        return self._tensors[node]

    def value(self, node):
        """The float value of a node, as its Keras layer returns it."""
        x = self.tensor(node)
        if node.unit != 1:
            x = x * node.unit
        if isinstance(node, g.Sum):
            if node.layer.use_bias:
                x = x + tf.convert_to_tensor(node.layer.bias)
            if node.layer.activation is not None:
                x = node.layer.activation(x)
        return x

    def _write_apply(self, node):
        read = self.tensor if node.levels is not None else self.value
        args, kwargs = keras.tree.map_structure(
            lambda value: read(value) if isinstance(value, g.Node) else value,
            (node.args, node.kwargs),
        )
        if isinstance(node.operation, keras.layers.Layer) and (
            node.operation._call_has_training_arg
        ):
            kwargs = {**kwargs, "training": False}
        return node.operation(*args, **kwargs)

    def _write_quantize(self, node):
        x = self.value(node.source)
        if node.bits == 16:
            # XLA and TFLite keep this pair of casts, unlike bit operations.
            limit = np.finfo("float16").max
            x = tf.clip_by_value(x, -limit, limit)
            return tf.cast(tf.cast(x, tf.float16), tf.float32)
        if node.bits == 1:
            return self._sign(x)
        return node.quantizer.hard(x) * (1 / node.unit)

    def _sign(self, x):
        return tf.where(x >= 0, 1.0, -1.0)

    def _write_sum(self, node):
        x = self._padded(node, self.tensor(node.source))
        self.sums.append(node)
        if node.kernel.ndim == 2:
            return tf.matmul(x, node.kernel)
        return self._conv2d(node, x)

    def _conv2d(self, node, x):
        layer = node.layer
        return tf.nn.conv2d(
            x,
            node.kernel,
            strides=layer.strides,
            padding="VALID" if self._pads(node) else layer.padding.upper(),
            dilations=layer.dilation_rate,
        )

    def _pads(self, node):
        return bool(getattr(node.layer, "pad_value", 0))

    def _padded(self, node, x):
        if not self._pads(node):
            return x
        layer = node.layer
        paddings = [
            same_padding(*axis)
            for axis in zip(
                x.shape[1:3],
                layer.kernel_size,
                layer.strides,
                layer.dilation_rate,
            )
        ]
        return tf.pad(
            x,
            [(0, 0), *paddings, (0, 0)],
            constant_values=layer.pad_value / node.source.unit,
        )

    def _write_threshold(self, node):
        return self._compare(node, self.tensor(node.source))

    def _compare(self, node, x):
        for step in node.steps:
            x = step(x) if callable(step) else x * step
        codes = node.levels.astype("float32")
        if node.bits == 1:
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
