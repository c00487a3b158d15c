"""`invoke` allocates no memory."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from keras_aqe import runtime
from tests.combinations import each_once
from tests.runtime.networks import small_network

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None,
    reason="needs Linux and a C compiler",
)

# Counts the delegate's allocations while it prepares and while it runs.
CHILD = """
import ctypes, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate
library, threads = sys.argv[1:]
delegate = load_delegate(library, {"num_threads": threads})
with open("/proc/self/maps") as maps:
    ranges = [line.split()[0].split("-") for line in maps if library in line]
addresses = [int(address, 16) for pair in ranges for address in pair]
counter = ctypes.CDLL(None)
counter.malloc_counter_count.restype = ctypes.c_long
span = ctypes.c_size_t(min(addresses)), ctypes.c_size_t(max(addresses))
counter.malloc_counter_start(*span)
engine = Interpreter("model.tflite", experimental_delegates=[delegate])
engine.allocate_tensors()
prepared = counter.malloc_counter_count()
counter.malloc_counter_start(*span)
for _ in range(20):
    engine.invoke()
print(prepared, counter.malloc_counter_count())
"""


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    library = tmp_path_factory.mktemp("counter") / "malloc_counter.so"
    source = pathlib.Path(__file__).with_name("malloc_counter.c")
    subprocess.run(
        ["cc", "-O1", "-shared", "-fPIC", "-o", library, source], check=True
    )
    return library


# Planes, dot product and SHIFT; one thread and two.
@pytest.mark.slow
@pytest.mark.parametrize(
    "widths, features, threads",
    each_once([(1, 1), (2, 2), (3, 3), (8, 3)], [None, "avx2", "none"], [1, 2]),
)
def test_invoke_allocates_nothing(widths, features, threads, counter, tmp_path):
    network, source, target = small_network(*widths, size=24)
    file = network.write([source], [target])
    (tmp_path / "model.tflite").write_bytes(file)
    environment = {**os.environ, "LD_PRELOAD": str(counter)}
    if features:
        environment["KERAS_AQE_CPU_FEATURES"] = features
    output = subprocess.run(
        [sys.executable, "-c", CHILD, runtime.library_path(), str(threads)],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    prepared, invoked = map(int, output.split())
    assert prepared > 0
    assert invoked == 0
