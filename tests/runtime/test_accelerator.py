"""LiteRT's CompiledModel with our accelerator, from Python and from C."""

import concurrent.futures
import ctypes
import importlib.util
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from ai_edge_litert import compiled_model as litert

from keras_aqe import runtime
from tests.runtime.engines import run
from tests.runtime.test_delegate import WIDTHS, images, network_file

LITERT = pathlib.Path(importlib.util.find_spec("ai_edge_litert").origin).parent
PROGRAM = pathlib.Path(__file__).with_name("compiled_model.c")
ROOT = pathlib.Path(__file__).parents[2]
HEADERS = [f"-I{ROOT / path}" for path in ("runtime/include", "examples/arm")]
NOT_FOUND = 6


@pytest.fixture(scope="module")
def environment():
    return runtime.environment()


def run_compiled(path, environment, x, num_threads=1):
    options = litert.Options(
        hardware_accelerators=litert.HardwareAccelerator.CPU,
        cpu_options=litert.CpuOptions(num_threads=num_threads),
    )
    model = litert.CompiledModel.from_file(
        str(path), environment=environment, options=options
    )
    (source,) = model.create_input_buffers(0)
    (target,) = model.create_output_buffers(0)
    rows = []
    for image in x:
        source.write(image[None])
        model.run_by_index(0, [source], [target])
        rows.append(target.read(10, np.float32))
    return np.array(rows)


@pytest.mark.parametrize("widths", WIDTHS)
def test_a_compiled_model_is_the_interpreter(widths, environment, tmp_path):
    file, x = network_file(*widths), images()
    path = tmp_path / "model.tflite"
    path.write_bytes(file)
    expected = run(file, x)
    assert np.ptp(expected) > 0
    for threads in (1, 3):
        received = run_compiled(path, environment, x, threads)
        np.testing.assert_array_equal(received, expected)


def test_models_of_one_file_in_many_threads(environment, tmp_path):
    file, x = network_file(2, 2), images(2)
    path = tmp_path / "model.tflite"
    path.write_bytes(file)
    expected = run(file, x)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for received in pool.map(
            lambda _: run_compiled(path, environment, x), range(8)
        ):
            np.testing.assert_array_equal(received, expected)


def test_files_without_our_operators_are_left_alone(
    environment, minw_files, tmp_path
):
    converted = minw_files["tflite"]
    converted.save(tmp_path / "model.tflite")
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    expected = run(converted.flatbuffer, x, delegate=False)
    received = run_compiled(tmp_path / "model.tflite", environment, x)
    np.testing.assert_array_equal(received, expected)


def test_a_damaged_file_is_an_error(environment, tmp_path):
    file = network_file(1, 1).replace(b"input_bits", b"input_bats")
    (tmp_path / "model.tflite").write_bytes(file)
    with pytest.raises(RuntimeError):
        run_compiled(tmp_path / "model.tflite", environment, images())


def build_program(program, library, litert, compiler="cc"):
    """Builds compiled_model.c against a library and a folder with LiteRT."""
    subprocess.run(
        [
            *(compiler, "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"),
            *(*HEADERS, PROGRAM, "-o", program),
            *(library, litert / "libLiteRt.so"),
            "-Wl,--allow-shlib-undefined",
            f"-Wl,-rpath,{litert},-rpath,{library.parent}",
        ],
        check=True,
    )
    return program


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize(
    "widths, options",
    [((1, 1), []), ((3, 3), []), ((2, 2), ["num_threads = 2\n", "by_option"])],
)
def test_from_c(widths, options, tmp_path):
    program = build_program(
        tmp_path / "program", pathlib.Path(runtime.library_path()), LITERT
    )
    file, x = network_file(*widths), images(1)
    (tmp_path / "model.tflite").write_bytes(file)
    outcome = subprocess.run(
        [program, tmp_path / "model.tflite", *options],
        input=x.tobytes(),
        stdout=subprocess.PIPE,
        check=True,
    )
    np.testing.assert_array_equal(
        np.frombuffer(outcome.stdout, "float32"), run(file, x)[0]
    )


def test_finds_a_litert_that_is_in_no_scope():
    """As those are that Java loads."""
    script = (
        "import ctypes, sys;"
        "delegate, litert = map(ctypes.CDLL, sys.argv[1:]);"
        "environment = ctypes.c_void_p();"
        "create = litert.LiteRtCreateEnvironment;"
        "assert create(0, None, ctypes.byref(environment)) == 0;"
        "assert delegate.keras_aqe_register_accelerator(environment) == 0;"
        "litert.LiteRtDestroyEnvironment(environment)"
    )
    libraries = [runtime.library_path(), LITERT / "libLiteRt.so"]
    subprocess.run([sys.executable, "-c", script, *libraries], check=True)


def test_says_that_there_is_no_litert_to_register_with():
    script = (
        "import ctypes, sys; library = ctypes.CDLL(sys.argv[1]);"
        "sys.exit(library.keras_aqe_register_accelerator(ctypes.c_void_p(1)))"
    )
    command = [sys.executable, "-c", script, runtime.library_path()]
    assert subprocess.run(command).returncode == NOT_FOUND
    library = ctypes.CDLL(runtime.library_path())
    assert library.keras_aqe_register_accelerator(None) == 1
