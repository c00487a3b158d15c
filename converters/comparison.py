"""What files are compared with, and how time and memory are taken."""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

from keras_aqe import layers, quantizers, runtime
from keras_aqe.converters.interpreter import Interpreter
from keras_aqe.converters.targets import target_of
from keras_aqe_runtime.file import flatbuffer
from keras_aqe_runtime.load import load

# What a fresh process adds to its memory when it runs a file.
_MEMORY = """
import pathlib, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate
path, threads, *delegate = sys.argv[1:]
def status(name):
    text = pathlib.Path("/proc/self/status").read_text()
    return int(text.split(name + ":")[1].split()[0])
pathlib.Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
interpreter = Interpreter(
    path,
    num_threads=int(threads),
    experimental_delegates=[
        load_delegate(p, {"num_threads": threads}) for p in delegate
    ],
)
interpreter.allocate_tensors()
for _ in range(3):
    interpreter.invoke()
print(status("VmHWM") - before)
"""


def float_twin(model):
    """A model of the same shapes without quantizers, its weights not kept.

    Args:
        model: A built Functional or Sequential model.
    """
    given = {"input_quantizer": None, "kernel_quantizer": None}

    def copy(layer):
        if isinstance(layer, (layers.QuantActivation, quantizers.Quantizer)):
            return keras.layers.Activation("linear", name=layer.name)
        config = layer.get_config()
        config |= {name: None for name in given if name in config}
        if "pad_value" in config:
            config["pad_value"] = 0.0
        return type(layer).from_config(config)

    functional = keras.Model(model.inputs, model.outputs, name=model.name)
    return keras.models.clone_model(
        functional, clone_function=copy, recursive=True
    )


def int8(model):
    """A model as a fully quantized .tflite file, kernels per channel.

    Ranges come from random inputs: time and size do not depend on them.

    Args:
        model: A Functional `keras.Model`.

    Returns:
        The file as bytes; its inputs and outputs are int8.
    """
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, format="tf_saved_model", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: _examples(
            [tensor.shape for tensor in model.inputs]
        )
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8
        ]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
        return converter.convert()


def int8_of_file(data):
    """`int8` of a .tflite file of floats.

    Args:
        data: The file as bytes.
    """
    # What the converter itself quantizes by; only there under this name.
    from tensorflow.lite.python.optimize.calibrator import Calibrator

    graph = flatbuffer.read(data).subgraphs[0]
    shapes = [graph.tensors[index].shape for index in graph.inputs]
    quantized = Calibrator(data).calibrate_and_quantize(
        lambda: _examples(shapes), tf.float32, tf.float32, False
    )
    model = flatbuffer.read(bytes(quantized))
    # What `convert` said of the file is no longer true.
    model.metadata = []
    return flatbuffer.write(model)


def _examples(shapes):
    rng = np.random.default_rng(0)
    for _ in range(4):
        yield [
            rng.uniform(-1, 1, (1, *shape[1:])).astype("float32")
            for shape in shapes
        ]


def runner(data, num_threads=1, features=None, batch=1):
    """A function that runs a file once on random inputs.

    Files of builtin operators run in LiteRT with XNNPACK, packed ones in
    LiteRT with the delegate of `keras_aqe.runtime`, those of Larq Compute
    Engine by its indirect kernels.

    Args:
        data: The file as bytes.
        num_threads: Number of threads.
        features: CPU features that the delegate may use, names separated by
            commas; `None` is all.
        batch: Examples at a time; 1 for files of Larq Compute Engine.
    """
    from ai_edge_litert.interpreter import Interpreter as LiteRT

    target = target_of(flatbuffer.read(data)).name
    if target == "lce":
        return lce_runner(data, use_xnnpack=False, num_threads=num_threads)
    delegates = []
    if target == "packed":
        delegates = [runtime.load_delegate(num_threads)]
    interpreter = LiteRT(
        model_content=data,
        num_threads=num_threads,
        experimental_delegates=delegates,
    )
    if batch > 1:
        for detail in interpreter.get_input_details():
            shape = [batch, *detail["shape"][1:]]
            interpreter.resize_tensor_input(detail["index"], shape)
    with _environment("KERAS_AQE_CPU_FEATURES", features):
        interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(
            detail["index"], _random(rng, detail["shape"], detail["dtype"])
        )
    return interpreter.invoke


def lce_runner(data, use_xnnpack, num_threads=1):
    """`runner` of a file of Larq Compute Engine, its indirect kernels."""
    from larq_compute_engine.tflite.python.interpreter import (
        Interpreter as Larq,
    )

    interpreter = Larq(
        data,
        num_threads=num_threads,
        use_indirect_bgemm=True,
        use_xnnpack=use_xnnpack,
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


def times(runs, rounds=12, repeats=5, done=lambda rounds: None):
    """Times functions in turn, A B A B, so that all see the same machine.

    Each turn begins with a run that is not counted, since the others have
    filled the caches.

    Args:
        runs: A dict from names to functions without arguments.
        rounds: Turns of each.
        repeats: Runs counted in each turn.
        done: Called with the number of rounds after each.

    Returns:
        A dict from names to lists of milliseconds.
    """
    taken = {name: [] for name in runs}
    for number in range(rounds):
        for name, run in runs.items():
            run()
            for _ in range(repeats):
                began = time.perf_counter()
                run()
                taken[name].append(1e3 * (time.perf_counter() - began))
        done(number + 1)
    return taken


def median_ms(runs, rounds=12, repeats=5):
    """The medians of `times`, a dict from names to milliseconds."""
    taken = times(runs, rounds, repeats)
    return {name: statistics.median(each) for name, each in taken.items()}


def peak_mib(data, num_threads=1):
    """Memory that running a file adds to a fresh process, in MiB.

    Args:
        data: The file as bytes.
        num_threads: Number of threads.

    Returns:
        The number; `None` for a file of Larq Compute Engine, whose
        interpreter takes TensorFlow's memory, and where there is no /proc.
    """
    target = target_of(flatbuffer.read(data)).name
    if target == "lce" or not os.path.exists("/proc/self/clear_refs"):
        return None
    delegate = [runtime.library_path()] if target == "packed" else []
    with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
        file.write(data)
        file.flush()
        process = subprocess.run(
            [
                *(sys.executable, "-c", _MEMORY, file.name, str(num_threads)),
                *delegate,
            ],
            check=True,
            capture_output=True,
        )
    return int(process.stdout.split()[-1]) / 1024


def profile(data, num_threads=1, runs=20):
    """What each operator of a packed file runs as, and takes.

    Args:
        data: The file as bytes.
        num_threads: Number of threads.
        runs: Inferences, of which the medians are taken.

    Returns:
        A list of a dict for each operator that the runtime runs: `layer` (if
        it is that of one), `op`, `kernel` and `ms`. Empty for other files.
    """
    file = load(data)
    if target_of(file.model).name != "packed":
        return []
    owners = {
        index: entry["name"]
        for entry in (file.description or {}).get("layers", ())
        for index in (*entry["operators"], *entry.get("beside", ()))
    }
    names = flatbuffer.operator_names(file.model)
    interpreter = Interpreter(file, num_threads, profile=True)
    # The first run fills the caches.
    interpreter.try_out()
    totals = [interpreter.profile()]
    for _ in range(runs):
        interpreter.try_out()
        totals.append(interpreter.profile())
    nanoseconds = np.array(
        [[part["nanoseconds"] for part in total] for total in totals]
    )
    medians = np.median(np.diff(nanoseconds, axis=0), axis=0)
    return [
        {
            "layer": owners.get(part["operator"], ""),
            "op": names[part["operator"]],
            "kernel": part["kernel"],
            "ms": float(median) / 1e6,
        }
        for part, median in zip(totals[-1], medians)
    ]
