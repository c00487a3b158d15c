"""From a file to its first answer: time and memory, against plain int8.

    python -m benchmarks.loading

prints a Markdown table. Each measurement has a process of its own, which has
imported LiteRT and has read neither file nor delegate yet: what a program that
starts waits for. The files are in the page cache. The last column is what the
process holds more once it has loaded the same file again, in an interpreter of
its own.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile

from benchmarks import baselines
from benchmarks.inference import BITS, PAIRS
from keras_aqe import converters, runtime
from keras_aqe.converters import comparison

CHILD = """
import pathlib, sys, time
from ai_edge_litert.interpreter import Interpreter, load_delegate
path, *delegate = sys.argv[1:]
def status(name):
    text = pathlib.Path("/proc/self/status").read_text()
    return int(text.split(name + ":")[1].split()[0])
def load():
    interpreter = Interpreter(
        path,
        num_threads=1,
        experimental_delegates=[load_delegate(p) for p in delegate],
    )
    interpreter.allocate_tensors()
    return interpreter
pathlib.Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
began = time.perf_counter()
first = load()
loaded = time.perf_counter()
first.invoke()
answered = time.perf_counter()
peak, held = status("VmHWM"), status("VmRSS")
second = load()
second.invoke()
print(
    1e3 * (loaded - began),
    1e3 * (answered - began),
    (peak - before) / 1024,
    (status("VmRSS") - held) / 1024,
)
"""


def measure(data, delegate, rounds):
    """Of a file: milliseconds until it is loaded and until it has answered, the
    least of all rounds; the medians of its peak memory and of what a second
    interpreter adds, in MiB."""
    with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
        file.write(data)
        file.flush()
        runs = []
        for _ in range(rounds):
            printed = subprocess.run(
                [sys.executable, "-c", CHILD, file.name, *delegate],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            runs.append([float(number) for number in printed.split()])
    loaded, answered, peak, second = zip(*runs)
    return (
        min(loaded),
        min(answered),
        statistics.median(peak),
        statistics.median(second),
    )


def main(rounds):
    print("| file | size | loaded | first answer | peak | a second one |")
    print("|---|---|---|---|---|---|")

    def row(what, data, *delegate):
        loaded, answered, peak, second = measure(data, delegate, rounds)
        print(
            f"| {what} | {len(data) / 2**20:.1f} MiB | {loaded:.1f} ms | "
            f"{answered:.1f} ms | {peak:.1f} MiB | {second:.1f} MiB |",
            flush=True,
        )

    for name, (packed, plain) in baselines.SERVED.items():
        for bits, pair in zip(BITS, PAIRS):
            file = converters.convert(packed(bits)).flatbuffer
            row(f"{name}, {pair}", file, runtime.library_path())
        row(f"{name}, int8, XNNPACK", comparison.int8(plain()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    main(parser.parse_args().rounds)
