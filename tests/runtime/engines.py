import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from keras_aqe import runtime

CHILD = pathlib.Path(__file__).with_name("child.py")


def interpreter(file, engine="litert", num_threads=1, delegate=True):
    """An interpreter of LiteRT or TensorFlow ("tf").

    Args:
        file: The file as bytes.
        engine: "litert" or "tf".
        num_threads: Number of threads.
        delegate: Whether it gets our delegate.
    """
    if engine == "tf":
        import tensorflow as tf

        load = tf.lite.experimental.load_delegate
        make = tf.lite.Interpreter
    else:
        from ai_edge_litert import interpreter as litert

        load, make = litert.load_delegate, litert.Interpreter
    delegates = []
    if delegate:
        options = {"num_threads": str(num_threads)}
        delegates.append(load(runtime.library_path(), options))
    return make(
        model_content=file,
        num_threads=num_threads,
        experimental_delegates=delegates,
    )


def run(file, *inputs, **options):
    """Outputs of a file for inputs of any batch size."""
    engine = interpreter(file, **options)
    details = engine.get_input_details()
    for detail, value in zip(details, inputs):
        if tuple(detail["shape"]) != value.shape:
            engine.resize_tensor_input(detail["index"], value.shape)
    engine.allocate_tensors()
    for detail, value in zip(details, inputs):
        engine.set_tensor(detail["index"], value)
    engine.invoke()
    outputs = [
        engine.get_tensor(detail["index"])
        for detail in engine.get_output_details()
    ]
    return outputs[0] if len(outputs) == 1 else outputs


def run_in_child(
    file,
    x,
    package,
    library="",
    num_threads=1,
    resolver="BUILTIN",
    python=(sys.executable,),
    env=None,
):
    """Output of a file in an interpreter that has a process of its own.

    Args:
        file: The file as bytes, of one input and one output.
        x: The input.
        package: The package that has the interpreter.
        library: Path of our delegate; "" for none.
        num_threads: Number of threads.
        resolver: Name of an `OpResolverType` of the package.
        python: The command that starts Python.
        env: Environment of the process.
    """
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "model.tflite").write_bytes(file)
        np.save(folder + "/x.npy", x)
        arguments = package, folder, library, str(num_threads), resolver
        subprocess.run([*python, CHILD, *arguments], check=True, env=env)
        return np.load(folder + "/y.npy")
