"""What the shared library exports to C, and misuse of it."""

import concurrent.futures
import ctypes
import mmap
import random

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from keras_aqe import runtime
from tests.runtime.engines import interpreter
from tests.runtime.test_delegate import images, network_file

OK, INVALID_ARGUMENT, WRONG_VERSION = 0, 1, 8


class Options(ctypes.Structure):
    _fields_ = [("version", ctypes.c_int), ("num_threads", ctypes.c_int)]


class LaterOptions(ctypes.Structure):
    """As a later version may have them."""

    _fields_ = [*Options._fields_, ("more", ctypes.c_int * 16)]


@pytest.fixture
def library():
    library = ctypes.CDLL(runtime.library_path())
    for name in (
        "keras_aqe_destroy_delegate",
        "keras_aqe_profile",
        "tflite_plugin_destroy_delegate",
    ):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    library.keras_aqe_profile.restype = ctypes.c_char_p
    library.tflite_plugin_destroy_delegate.restype = None
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
        assert library.keras_aqe_destroy_delegate(delegate) == OK
    assert first[1].value != second[1].value


@pytest.mark.parametrize(
    "options, expected",
    [
        (Options(0, 1), WRONG_VERSION),
        (Options(2, 1), WRONG_VERSION),
        (LaterOptions(2, 1), WRONG_VERSION),
        (Options(-1, 1), WRONG_VERSION),
        (Options(1, -1), INVALID_ARGUMENT),
        (Options(1, 257), INVALID_ARGUMENT),
    ],
)
def test_refuses_options(library, options, expected):
    assert create(library, ctypes.byref(options))[0] == expected


def test_reads_no_more_of_options_than_their_version_has(library):
    more = LaterOptions(1, 2, (7,) * 16)
    status, delegate = create(library, ctypes.byref(more))
    assert status == OK
    assert library.keras_aqe_destroy_delegate(delegate) == OK
    # A version that has another layout, before a page that cannot be read.
    pages = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    start = ctypes.c_char.from_buffer(pages)
    end = ctypes.addressof(start) + mmap.PAGESIZE
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    assert protect(end, mmap.PAGESIZE, 0) == 0
    version = ctypes.c_int.from_address(end - ctypes.sizeof(ctypes.c_int))
    version.value = 2
    assert create(library, ctypes.byref(version))[0] == WRONG_VERSION
    del start
    pages.close()


def test_refuses_null(library):
    assert library.keras_aqe_create_delegate(None, None) == INVALID_ARGUMENT
    options = ctypes.byref(Options(1, 1))
    assert library.keras_aqe_create_delegate(options, None) == INVALID_ARGUMENT
    assert library.keras_aqe_destroy_delegate(None) == OK
    library.tflite_plugin_destroy_delegate(None)


def test_destroys_once(library):
    _, delegate = create(library, None)
    _, other = create(library, None)
    assert library.keras_aqe_destroy_delegate(delegate) == OK
    for _ in range(2):
        status = library.keras_aqe_destroy_delegate(delegate)
        assert status == INVALID_ARGUMENT
        library.tflite_plugin_destroy_delegate(delegate)
    assert library.keras_aqe_profile(delegate) == b""
    assert library.keras_aqe_destroy_delegate(other) == OK


def test_looks_into_no_delegate_but_its_own(library):
    for strange in (1, ctypes.addressof(ctypes.create_string_buffer(512))):
        assert library.keras_aqe_profile(strange) == b""
        status = library.keras_aqe_destroy_delegate(strange)
        assert status == INVALID_ARGUMENT


def test_many_delegates_at_once(library):
    delegates = [create(library, None)[1].value for _ in range(1000)]
    assert len(set(delegates)) == 1000
    random.Random(0).shuffle(delegates)
    for expected in (OK, INVALID_ARGUMENT):
        assert {
            library.keras_aqe_destroy_delegate(each) for each in delegates
        } == {expected}


def test_delegates_in_many_threads(library):
    def work(_):
        for _ in range(200):
            status, delegate = create(library, ctypes.byref(Options(1, 2)))
            assert status == OK
            assert library.keras_aqe_profile(delegate) == b""
            assert library.keras_aqe_destroy_delegate(delegate) == OK

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def plugin(library, options, hears=True):
    """What interpreters call that load a delegate by path, and its words."""
    said = []
    report = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(said.append)
    if not hears:
        report = None
    create = library.tflite_plugin_create_delegate
    create.restype = ctypes.c_void_p
    keys, values = (
        (ctypes.c_char_p * len(options))(*texts) for texts in zip(*options)
    )
    delegate = create(keys, values, ctypes.c_size_t(len(options)), report)
    if delegate:
        library.keras_aqe_destroy_delegate(delegate)
    return bool(delegate), [text.decode(errors="replace") for text in said]


@pytest.mark.parametrize(
    "options, message",
    [
        ([(b"threads", b"2")], "unknown delegate option: threads"),
        ([(b"num_threads", b"2"), (b"x", b"")], "unknown delegate option: x"),
        ([(b"", b"2")], "unknown delegate option: "),
        ([(b"\xff\xfe", b"2")], "unknown delegate option: "),
        ([(b"k" * 100_000, b"2")], "unknown delegate option: kkk"),
        ([(b"num_threads", b"\xff")], "1 to 256, but is: "),
        ([(b"num_threads", b"2" * 100_000)], "1 to 256, but is: 222"),
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
    assert plugin(library, options, hears=False) == (False, [])


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
