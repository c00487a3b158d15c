"""What the shared library exports to C, and misuse of it."""

import ctypes

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

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


def plugin(library, options):
    """What interpreters call that load a delegate by path, and its words."""
    said = []
    report = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(said.append)
    create = library.tflite_plugin_create_delegate
    create.restype = ctypes.c_void_p
    keys, values = (
        (ctypes.c_char_p * len(options))(*texts) for texts in zip(*options)
    )
    delegate = create(keys, values, ctypes.c_size_t(len(options)), report)
    if delegate:
        library.keras_aqe_destroy_delegate(delegate)
    return bool(delegate), [text.decode() for text in said]


@pytest.mark.parametrize(
    "options, message",
    [
        ([(b"threads", b"2")], "unknown delegate option: threads"),
        ([(b"num_threads", b"2"), (b"x", b"")], "unknown delegate option: x"),
        ([(b"", b"2")], "unknown delegate option: "),
        ([(b"num_threads", b"two")], "1 to 256, but is: two"),
        ([(b"num_threads", b"")], "1 to 256, but is: "),
        ([(b"num_threads", b"99999999999999999999")], "1 to 256"),
        ([(b"profile", b"yes")], "profile must be 0 or 1, but is: yes"),
        ([(None, b"2")], "a delegate option is null"),
        ([(b"num_threads", None)], "a delegate option is null"),
    ],
)
def test_the_plugin_refuses_options(library, options, message):
    created, said = plugin(library, options)
    assert not created
    assert len(said) == 1 and message in said[0]
    assert said[0].startswith("keras-aqe: ")


@pytest.mark.parametrize("value", [b"0", b"1"])
def test_the_plugin_takes_options(library, value):
    options = [(b"num_threads", b"2"), (b"profile", value)]
    assert plugin(library, options) == (True, [])


def test_the_plugin_takes_no_null_for_options(library):
    create = library.tflite_plugin_create_delegate
    create.restype = ctypes.c_void_p
    # Without anyone to tell, either.
    assert not create(None, None, ctypes.c_size_t(1), None)
    delegate = create(None, None, ctypes.c_size_t(0), None)
    assert delegate
    library.keras_aqe_destroy_delegate(delegate)


def test_of_no_delegate_there_is_no_profile(library):
    library.keras_aqe_profile.restype = ctypes.c_char_p
    assert library.keras_aqe_profile(None) == b""


def test_a_delegate_may_be_given_twice():
    """To one interpreter, and to another one."""
    x = images(1)
    delegate = runtime.load_delegate()
    results = []
    for delegates in ([delegate, delegate], [delegate]):
        engine = Interpreter(
            model_content=network_file(3, 3), experimental_delegates=delegates
        )
        engine.allocate_tensors()
        engine.set_tensor(engine.get_input_details()[0]["index"], x)
        engine.invoke()
        target = engine.get_output_details()[0]["index"]
        results.append(engine.get_tensor(target))
    np.testing.assert_array_equal(*results)


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
