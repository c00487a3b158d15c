"""`target="tflite"`: builtin TFLite operators only."""

import tensorflow as tf

from keras_aqe.converters.emission import Emitter


def emit(graph):
    """Writes a graph with builtin operators.

    Args:
        graph: A `keras_aqe.converters.graph.Graph`.

    Returns:
        The file as bytes.
    """
    function = Emitter(graph).function(batch=None).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    return converter.convert()
