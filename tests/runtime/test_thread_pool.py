"""Interpreters with threads of the delegate in a process that forks."""

import multiprocessing
import threading

import numpy as np
import pytest

from tests.runtime.engines import interpreter
from tests.runtime.networks import small_network

SECONDS = 60  # after which a child counts as hanging


@pytest.fixture(scope="module")
def network():
    """A file, an input and the output."""
    file, source, target = small_network(2, 2)
    file = file.write([source], [target])
    x = np.random.default_rng(0).normal(size=(1, 14, 14, 3)).astype("float32")
    return file, x, invoke(prepared(file, x, 1))


def prepared(file, x, num_threads):
    engine = interpreter(file, num_threads=num_threads)
    engine.allocate_tensors()
    engine.set_tensor(engine.get_input_details()[0]["index"], x)
    return engine


def invoke(engine):
    engine.invoke()
    return engine.get_tensor(engine.get_output_details()[0]["index"])


def in_child(function):
    """Runs a function in a forked process, which has to end well."""
    child = multiprocessing.get_context("fork").Process(target=function)
    child.start()
    child.join(SECONDS)
    hangs = child.is_alive()
    if hangs:
        child.kill()
        child.join()
    assert not hangs, "the child hangs"
    assert child.exitcode == 0


@pytest.mark.parametrize("num_threads", (1, 2, 4))
@pytest.mark.parametrize("used", (False, True))
def test_a_child_uses_and_deletes_interpreters(network, num_threads, used):
    file, x, expected = network
    engines = [prepared(file, x, num_threads) for _ in range(3)]
    if used:
        for engine in engines:
            invoke(engine)

    def child():
        engines.pop()  # unused
        for engine in engines:
            np.testing.assert_array_equal(invoke(engine), expected)
        engines.pop()
        new = prepared(file, x, num_threads)
        np.testing.assert_array_equal(invoke(new), expected)
        engines[0].resize_tensor_input(
            engines[0].get_input_details()[0]["index"], (2, *x.shape[1:])
        )
        engines[0].allocate_tensors()
        engines.clear()

    in_child(child)
    for engine in engines:
        np.testing.assert_array_equal(invoke(engine), expected)


def test_a_child_of_a_child(network):
    file, x, expected = network
    engine = prepared(file, x, 2)

    def child():
        own = prepared(file, x, 2)

        def grandchild():
            for each in (engine, own):
                np.testing.assert_array_equal(invoke(each), expected)

        in_child(grandchild)
        np.testing.assert_array_equal(invoke(own), expected)

    in_child(child)


@pytest.mark.slow
def test_fork_while_the_pool_works(network):
    file, x, expected = network
    engine, other = prepared(file, x, 3), prepared(file, x, 3)
    stop = threading.Event()

    def work():
        while not stop.is_set():
            engine.invoke()

    def child():
        nonlocal other
        np.testing.assert_array_equal(invoke(other), expected)
        other = None
        new = prepared(file, x, 3)
        np.testing.assert_array_equal(invoke(new), expected)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(10):
            in_child(child)
    finally:
        stop.set()
        worker.join()
    np.testing.assert_array_equal(invoke(engine), expected)
