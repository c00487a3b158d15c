"""The delegate in each interpreter, with threads, and beside XNNPACK."""

import concurrent.futures
import subprocess
import sys

import numpy as np
import pytest

from keras_aqe import runtime
from tests.runtime.engines import interpreter, run
from tests.runtime.networks import small_network

WIDTHS = [(1, 1), (1, 2), (2, 2), (3, 1), (3, 3), (4, 4), (8, 3)]


def images(count=3):
    rng = np.random.default_rng(7)
    return rng.normal(size=(count, 14, 14, 3)).astype(np.float32)


def network_file(*widths):
    file, source, target = small_network(*widths)
    return file.write([source], [target])


@pytest.mark.parametrize("widths", WIDTHS)
def test_batch_equals_single_images(widths):
    file, x = network_file(*widths), images()
    together = run(file, x)
    assert np.ptp(together) > 0
    for image, expected in zip(x, together):
        np.testing.assert_array_equal(run(file, image[None])[0], expected)


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("threads", (2, 3))
def test_threads_change_nothing(widths, threads):
    file, x = network_file(*widths), images()
    np.testing.assert_array_equal(
        run(file, x, num_threads=threads), run(file, x)
    )


@pytest.mark.parametrize("features", ("none", "avx2"))
@pytest.mark.parametrize("widths", WIDTHS)
def test_every_instruction_set_gives_the_same(widths, features, monkeypatch):
    file, x = network_file(*widths), images()
    expected = run(file, x)
    monkeypatch.setenv("KERAS_AQE_CPU_FEATURES", features)
    np.testing.assert_array_equal(run(file, x), expected)


@pytest.mark.parametrize("widths", [(3, 3), (4, 4)])
def test_a_kernel_can_be_named(widths, monkeypatch):
    file, x = network_file(*widths), images()
    expected = run(file, x)
    names = "conv_2d_shift_portable,fully_connected_shift_portable"
    monkeypatch.setenv("KERAS_AQE_KERNELS", names)
    np.testing.assert_array_equal(run(file, x), expected)


def test_tensorflow_lite():
    file, x = network_file(2, 2), images()
    np.testing.assert_array_equal(run(file, x, engine="tf"), run(file, x))


def test_tflite_runtime(tmp_path):
    """In a process of its own: it cannot live beside TensorFlow."""
    script = f"""
import numpy as np
from tflite_runtime.interpreter import Interpreter, load_delegate
delegate = load_delegate({runtime.library_path()!r})
engine = Interpreter("model.tflite", experimental_delegates=[delegate])
engine.allocate_tensors()
engine.set_tensor(engine.get_input_details()[0]["index"], np.load("x.npy"))
engine.invoke()
y = engine.get_tensor(engine.get_output_details()[0]["index"])
np.save("y.npy", y)
"""
    pytest.importorskip("tflite_runtime")
    file, x = network_file(2, 2), images(1)
    (tmp_path / "model.tflite").write_bytes(file)
    np.save(tmp_path / "x.npy", x)
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), run(file, x))


@pytest.mark.slow
@pytest.mark.parametrize("num_threads, invokes", [(1, 2500), (2, 100)])
def test_one_interpreter_in_each_of_four_threads(num_threads, invokes):
    file, x = network_file(1, 1), images(1)
    expected = run(file, x)

    def invoke_often(_):
        engine = interpreter(file, num_threads=num_threads)
        engine.allocate_tensors()
        source = engine.get_input_details()[0]["index"]
        target = engine.get_output_details()[0]["index"]
        for _ in range(invokes):
            engine.set_tensor(source, x)
            engine.invoke()
            if not np.array_equal(engine.get_tensor(target), expected):
                return False
        return True

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(pool.map(invoke_often, range(4)))


def test_num_threads_out_of_range():
    with pytest.raises(ValueError, match="num_threads must be a number"):
        runtime.load_delegate(num_threads=0)


def test_describe(capsys):
    rows = runtime.describe()
    assert {row["name"] for row in rows if row["runs_here"]} >= {
        "conv_2d_planes_portable",
        "conv_2d_shift_portable",
    }
    assert "conv_2d" in capsys.readouterr().out
