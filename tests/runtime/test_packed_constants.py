"""Constants that interpreters of the same file share."""

import gc
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.runtime.engines import interpreter
from tests.runtime.native import build
from tests.runtime.networks import small_network

# What each of several interpreters of the same file, or of files that differ,
# adds to a process, in bytes.
CHILD = """
import pathlib, sys
from ai_edge_litert.interpreter import Interpreter, load_delegate
library, *paths = sys.argv[1:]
def resident():
    text = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(text.split("RssAnon:")[1].split()[0])
engines = []
for path in paths:
    before = resident()
    delegate = load_delegate(library)
    engine = Interpreter(path, experimental_delegates=[delegate])
    engine.allocate_tensors()
    engines.append(engine)
    print(resident() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(shutil.which, ("cmake", "ninja", "c++"))),
    reason="needs cmake, ninja and a C++ compiler",
)
def test_shared_by_layers_that_are_alike():
    subprocess.run([build() / "constants_tester"], check=True)


def written(seed, **options):
    network, source, target = small_network(2, 2, seed=seed, **options)
    return network.write([source], [target])


def output(engine, x):
    (source,) = engine.get_input_details()
    if tuple(source["shape"]) != x.shape:
        engine.resize_tensor_input(source["index"], x.shape)
    engine.allocate_tensors()
    engine.set_tensor(source["index"], x)
    engine.invoke()
    return engine.get_tensor(engine.get_output_details()[0]["index"])


def test_interpreters_that_come_and_go():
    """Of copies of a file, of which each may be the one that packs, and of a
    file that has the same shapes."""
    x = np.random.default_rng(0).normal(size=(1, 14, 14, 3)).astype("float32")
    files = [bytes(bytearray(written(0))) for _ in range(3)]
    expected = output(interpreter(files[0]), x)
    engines = [interpreter(file) for file in files]
    different = interpreter(written(1))
    assert (output(different, x) != expected).any()
    while engines:
        for engine in engines:
            np.testing.assert_array_equal(output(engine, x), expected)
        two = output(engines[-1], np.concatenate([x, x]))
        np.testing.assert_array_equal(two, np.concatenate([expected] * 2))
        del engines[0], files[0]
        gc.collect()
    np.testing.assert_array_equal(output(interpreter(written(0)), x), expected)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_of_a_second_interpreter(tmp_path):
    from keras_aqe import runtime

    files = [written(seed, channels=500) for seed in range(2)]
    paths = [tmp_path / f"{i}.tflite" for i in range(4)]
    for path, file in zip(paths, (files[0], files[0], files[1], files[1])):
        path.write_bytes(file)
    printed = subprocess.run(
        [sys.executable, "-c", CHILD, runtime.library_path(), *paths],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    _, same, different, same_again = map(int, printed.split())
    packed = 2 * len(files[0]) // 3
    assert different - same > packed
    assert different - same_again > packed
