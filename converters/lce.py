"""`target="lce"`: Larq Compute Engine operators for 1-bit layers."""

import importlib.util
import tempfile

import keras
import numpy as np
import tensorflow as tf

from keras_aqe.converters import flatbuffer
from keras_aqe.converters import nodes as g
from keras_aqe.converters.emission import Emitter
from keras_aqe.converters.errors import ConversionError


def emit(graph, strict):
    """Writes a graph whose 1-bit layers LCE runs as XNOR.

    Dense layers become convolutions, since LCE has no binary dense layer. A
    quantized layer on the image keeps a builtin float convolution with its ±1
    kernel.

    Args:
        graph: A `keras_aqe.converters.graph.Graph`.
        strict: Whether a layer that LCE cannot run as XNOR is an error.

    Returns:
        The file as bytes.

    Raises:
        ConversionError: If LCE is not installed, or a quantized layer cannot
            run as XNOR and `strict` is true.
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
    return flatbuffer.in_signature_order(data)


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
    """Writes the patterns that LCE's converter turns into its operators."""

    def __init__(self, graph, strict):
        super().__init__(graph)
        self.strict = strict

    def _write_sum(self, node):
        if node.window is None:
            return self._flat(node)
        self._check(node)
        return super()._write_sum(node)

    def _write_threshold(self, node):
        if node.source.window is None:
            return self._flat(node)
        return super()._write_threshold(node)

    def _flat(self, node):
        return tf.reshape(self._spatial(node), (-1, node.shape[-1]))

    def _spatial(self, node):
        """A value of shape (batch, features) with two axes of space.

        Dense layers become convolutions that cover their whole input; between
        them nothing is reshaped, so that LCE keeps the bits packed.
        """
        key = ("spatial", node)
        if key not in self._tensors:
            with self._scope(node):
                self._tensors[key] = self._write_spatial(node)
        return self._tensors[key]

    def _write_spatial(self, node):
        if isinstance(node, g.Sum) and node.window is None:
            self._check(node)
            x = self._spatial(node.source)
            kernel = node.kernel.reshape(*x.shape[1:], -1)
            return tf.nn.conv2d(x, kernel, 1, "VALID")
        if isinstance(node, g.Threshold) and node.source.window is None:
            return self._compare(node, self._spatial(node.source))
        if isinstance(node, g.Apply) and node.levels is not None:
            if isinstance(node.operation, keras.layers.Flatten):
                x = self.tensor(node.args[0])
                if len(x.shape) == 4:
                    return x
        x = tf.reshape(self.tensor(node), (-1, 1, 1, node.shape[-1]))
        # LCE sees signs only right before the convolution.
        return self._sign(x) if node.bits == 1 else x

    def _sign_from(self, x, node):
        # LCE knows a sign by its comparison with 0. Between whole numbers a
        # half keeps ties out, so that the subtraction may be fused.
        thresholds = node.thresholds[0]
        if node.source.levels is not None:
            thresholds = thresholds - 0.5
        return self._sign(x - thresholds)

    def _check(self, node):
        reason = _obstacle(node)
        if reason and self.strict:
            raise ConversionError(
                f"Layer {node.name!r} would not run as XNOR under "
                f"target='lce': {reason}"
            )


def _obstacle(node):
    """Why LCE cannot run a quantized layer as XNOR; `None` if it can."""
    widths = node.source.bits, node.weight_bits
    if widths == (32, 32):
        return None
    if node.window is None and len(node.shape) != 2:
        return (
            "it is a dense layer on an input of more than one axis. Reshape "
            "or flatten its input."
        )
    if node.groups > 1:
        return "LCE's kernels refuse groups. Use `groups=1`."
    if node.source.is_image and node.weight_bits == 1:
        return None
    if node.window is not None and _pads_twice(node):
        return (
            "its input is smaller than its dilated kernel, where LCE's zero "
            "padding gives wrong sums. Use `pad_value=1.0` or a smaller kernel."
        )
    if node.weight_bits != 1:
        return (
            f"its kernel has {node.weight_bits} bits and LCE has 1-bit "
            "kernels only. Use target='tflite'."
        )
    if node.source.bits == 32:
        return (
            "its input is neither quantized nor the network's own input. Give "
            "it `input_quantizer='binary'`, or put "
            "`QuantActivation('binary')` before it."
        )
    if node.source.bits != 1 or node.source.levels is None:
        return (
            f"its input has {node.source.bits} bits and LCE has 1-bit inputs "
            "only. Use target='tflite'."
        )
    return None


def _pads_twice(node):
    """Whether one position of the kernel meets zeros on both sides."""
    window = node.window
    return window.pad_code == 0 and any(
        sum(pads) and (kernel - 1) * dilation + 1 > size
        for pads, kernel, dilation, size in zip(
            window.pads[-len(node.shape) + 2 :],
            node.kernel.shape[-len(node.shape) : -2],
            window.dilation[-len(node.shape) + 2 :],
            node.source.shape[1:-1],
        )
    )
