"""Time and memory of converting Model A and residual networks, 1/1.

    python -m benchmarks.conversion

prints a Markdown table for each target. The networks are fresh: neither time
nor memory depends on what their weights have learned. Each conversion runs in
a process of its own; memory is that process's peak above one that builds the
same network in float and converts it by TensorFlow's converter alone.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import tensorflow as tf

import keras_aqe as aqe
from keras_aqe import converters

TARGETS = ("packed", "lce", "tflite")
DEPTHS = (26, 50, 98)
TENSORFLOW = "tensorflow"


def network(name, bits):
    """Model "A", or the residual network of as many layers as `name` says."""
    if name == "A":
        return aqe.models.MINWNet("A", bits, bits)
    return aqe.models.ResNet110(bits, bits, depth=int(name))


def tensorflow_converts(model):
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, format="tf_saved_model", verbose=False)
        tf.lite.TFLiteConverter.from_saved_model(folder).convert()


def child(name, target):
    """Converts once; prints seconds, peak memory and the float size."""
    model = network(name, 32 if target == TENSORFLOW else 1)
    began = time.perf_counter()
    if target == TENSORFLOW:
        tensorflow_converts(model)
    else:
        converters.convert(model, target)
    seconds = time.perf_counter() - began
    status = pathlib.Path("/proc/self/status").read_text()
    peak = 1024 * int(status.split("VmHWM:")[1].split()[0])
    print(json.dumps([seconds, peak, 4 * model.count_params()]))


def measure(name, target, rounds):
    """Medians of what `child` prints."""
    command = [sys.executable, "-m", "benchmarks.conversion"]
    runs = []
    for _ in range(rounds):
        process = subprocess.run(
            [*command, "--child", name, target],
            check=True,
            stdout=subprocess.PIPE,
        )
        runs.append(json.loads(process.stdout.splitlines()[-1]))
    return [statistics.median(values) for values in zip(*runs)]


def main(rounds):
    print("| network | target | time | per layer | memory, x float model |")
    print("|---|---|---|---|---|")
    for name in ("A", *map(str, DEPTHS)):
        what, layers = "Model A", 9
        if name != "A":
            what, layers = f"{name} residual layers", int(name)
        _, plain, size = measure(name, TENSORFLOW, rounds)
        for target in TARGETS:
            seconds, peak, _ = measure(name, target, rounds)
            print(
                f"| {what} | {target} | {seconds:.2f} s | "
                f"{1e3 * seconds / layers:.0f} ms | "
                f"{(peak - plain) / size:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--child", nargs=2, metavar=("NETWORK", "TARGET"), help="convert once"
    )
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
    else:
        main(arguments.rounds)
