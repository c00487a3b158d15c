"""What the shared library exports to C, and misuse of it."""

import ctypes

import numpy as np
import pytest

from keras_aqe import runtime
from tests.runtime.engines import interpreter
from tests.runtime.test_delegate import images, network_file

OK, INVALID_ARGUMENT, WRONG_VERSION = 0, 1, 8


class Options(ctypes.Structure):
    _fields_ = [("version", ctypes.c_int), ("num_threads", ctypes.c_int)]


@pytest.fixture
def library():
    library = ctypes.CDLL(runtime.library_path())
    library.keras_aqe_destroy_delegate.argtypes = [ctypes.c_void_p]
    return library


def create(library, options):
    delegate = ctypes.c_void_p(1)
    status = library.keras_aqe_create_delegate(options, ctypes.byref(delegate))
    assert (delegate.value is not None) == (status == OK)
    return status, delegate


@pytest.mark.parametrize(
    "options", [None, Options(1, 0), Options(1, 1), Options(1, 256)]
)
def test_creates_and_destroys(library, options):
    first, second = (
        create(library, options and ctypes.byref(options)) for _ in range(2)
    )
    for status, delegate in (first, second):
        assert status == OK
        library.keras_aqe_destroy_delegate(delegate)
    assert first[1].value != second[1].value


@pytest.mark.parametrize(
    "options, expected",
    [
        (Options(0, 1), WRONG_VERSION),
        (Options(2, 1), WRONG_VERSION),
        (Options(1, -1), INVALID_ARGUMENT),
        (Options(1, 257), INVALID_ARGUMENT),
    ],
)
def test_refuses_options(library, options, expected):
    assert create(library, ctypes.byref(options))[0] == expected


def test_refuses_null(library):
    assert library.keras_aqe_create_delegate(None, None) == INVALID_ARGUMENT
    library.keras_aqe_destroy_delegate(None)


def test_a_delegate_may_go_before_its_interpreters():
    x = images(1)
    engines = [interpreter(network_file(3, 3), num_threads=2) for _ in "ab"]
    results = []
    for engine in engines:
        engine.allocate_tensors()
        source = engine.get_input_details()[0]["index"]
        target = engine.get_output_details()[0]["index"]
        engine.set_tensor(source, x)
        engine.invoke()
        results.append(engine.get_tensor(target))
        # As its destructor does, which comes too late by itself.
        for delegate in engine._delegates:
            delegate.__del__()
        engine.invoke()
        results.append(engine.get_tensor(target))
    for result in results:
        np.testing.assert_array_equal(result, results[0])
