"""What files are compared with: plain int8 networks, and how time is taken."""

import contextlib
import os
import statistics
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

from keras_aqe import runtime
from keras_aqe.models.minw_net import VARIANTS


def conv_net(variant="A"):
    """The ConvNet of MINW-Net's shapes in plain Keras, with ReLU.

    Args:
        variant: As in `keras_aqe.models.MINWNet`.
    """
    a, units = VARIANTS[variant]
    x = inputs = keras.Input((32, 32, 3))
    for index, filters in enumerate([a, a, 2 * a, 2 * a, 4 * a, 4 * a]):
        padding = "same" if index else "valid"
        x = keras.layers.Conv2D(filters, 3, padding=padding, use_bias=False)(x)
        if index % 2:
            x = keras.layers.MaxPooling2D()(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.Flatten()(x)
    for width in (units, units):
        x = keras.layers.Dense(width, use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.Dense(10, use_bias=False)(x)
    return keras.Model(inputs, keras.layers.BatchNormalization()(x))


def convolution(size=16, channels=256, filters=256):
    """One 3x3 'same' convolution with ReLU."""
    inputs = keras.Input((size, size, channels))
    layer = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")
    return keras.Model(inputs, layer(inputs))


def dense(inputs=8192, units=1024):
    """One dense layer with ReLU."""
    x = keras.Input((inputs,))
    return keras.Model(x, keras.layers.Dense(units, activation="relu")(x))


def int8(model):
    """A model as a fully quantized .tflite file, kernels per channel.

    Ranges come from random inputs: time and size do not depend on them.

    Args:
        model: A Functional `keras.Model`.

    Returns:
        The file as bytes; its inputs and outputs are int8.
    """
    rng = np.random.default_rng(0)

    def examples():
        for _ in range(4):
            shape = (1, *model.input_shape[1:])
            yield [rng.uniform(-1, 1, shape).astype("float32")]

    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, format="tf_saved_model", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = examples
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8
        ]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
        return converter.convert()


def runner(flatbuffer, num_threads=1, features=None):
    """A function that runs a file once on random inputs of batch 1.

    Files of builtin operators run in LiteRT with XNNPACK, packed ones in
    LiteRT with the delegate of `keras_aqe.runtime`.

    Args:
        flatbuffer: The file as bytes.
        num_threads: Number of threads.
        features: CPU features that the delegate may use, names separated by
            commas; `None` is all.
    """
    from ai_edge_litert.interpreter import Interpreter

    delegates = []
    if b"Aqe" in flatbuffer:
        delegates = [runtime.load_delegate(num_threads)]
    interpreter = Interpreter(
        model_content=flatbuffer,
        num_threads=num_threads,
        experimental_delegates=delegates,
    )
    with _environment("KERAS_AQE_CPU_FEATURES", features):
        interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(
            detail["index"], _random(rng, detail["shape"], detail["dtype"])
        )
    return interpreter.invoke


def lce_runner(flatbuffer, use_xnnpack):
    """Likewise for a file of Larq Compute Engine, its indirect kernels."""
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    interpreter = Interpreter(
        flatbuffer, use_indirect_bgemm=True, use_xnnpack=use_xnnpack
    )
    rng = np.random.default_rng(0)
    inputs = [
        _random(rng, shape, np.float32) for shape in interpreter.input_shapes
    ]
    return lambda: interpreter.interpreter.predict(inputs)


def _random(rng, shape, dtype):
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype)
    return rng.uniform(-1, 1, shape).astype(dtype)


@contextlib.contextmanager
def _environment(name, value):
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        if value is not None:
            del os.environ[name]


def median_ms(runs, rounds=50, warmup=5):
    """Times functions in turn, A B A B, so that all see the same machine.

    Args:
        runs: A dict from names to functions without arguments.
        rounds: Times that each is run.
        warmup: Times that each is run before.

    Returns:
        A dict from names to medians in milliseconds.
    """
    times = {name: [] for name in runs}
    for round_ in range(warmup + rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if round_ >= warmup:
                times[name].append(time.perf_counter() - began)
    return {
        name: 1e3 * statistics.median(seconds)
        for name, seconds in times.items()
    }
