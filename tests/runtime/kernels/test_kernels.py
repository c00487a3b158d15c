"""The C++ tests: every kernel against reference, what thread pools do, also
after a fork; the same, and damaged files, under AddressSanitizer and
UndefinedBehaviorSanitizer; threads and forks under ThreadSanitizer."""

import contextlib
import io
import os
import pathlib
import platform
import shutil
import subprocess
import sys

import pytest

from keras_aqe import runtime
from tests.runtime.disassembly import (
    functions,
    multiplications,
    shared_functions,
)
from tests.runtime.native import build

ROOT = pathlib.Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("cmake", "ninja", "c++"))),
    reason="needs cmake, ninja and a C++ compiler",
)


def widths():
    """Each kernel of this machine with each of its widths."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            kernels = runtime.describe()
    except RuntimeError:  # there is no compiler, then nothing is tested here
        return []
    return [
        (kernel["name"], f"{taken.split()[0]}/{weights}")
        for kernel in kernels
        for taken in kernel["inputs"]
        for weights in kernel["weights"] or (0,)
    ]


WIDTHS = widths()
# Such as conv_2d_dot_avx2-a2w3: names of kernels end in numbers, too.
IDS = [f"{kernel}-a{bits.replace('/', 'w')}" for kernel, bits in WIDTHS]


@pytest.fixture(scope="module")
def sanitized():
    return build("-DKERAS_AQE_SANITIZE=address,undefined")


@pytest.fixture(scope="module")
def built():
    return build()


# Slow as the build that they wait for.
@pytest.mark.slow
@pytest.mark.parametrize("kernel, bits", WIDTHS, ids=IDS)
def test_kernel_equals_reference(built, kernel, bits):
    subprocess.run(
        [built / "kernel_tester", "--kernel", kernel, "--bits", bits],
        check=True,
    )


@pytest.mark.slow
def test_every_kernel_is_tested(built):
    """The installed runtime, which names the cases above, is the source's."""
    listed = subprocess.run(
        [built / "kernel_tester", "--list", "1"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = {tuple(line.split()) for line in listed.splitlines()}
    # Those on emulated tiles run with the others of their name.
    emulated = {case for case in found if case[0].endswith("_emulated")}
    assert found - emulated == set(WIDTHS)
    assert {
        (name.removesuffix("_emulated"), bits) for name, bits in emulated
    } <= set(WIDTHS)


@pytest.mark.slow
@pytest.mark.parametrize("tester", ["pool_tester", "fork_tester"])
def test_thread_pools(built, tester):
    subprocess.run([built / tester], check=True)


# The loops in which SHIFT kernels spend their time, and one that multiplies.
@pytest.mark.slow
@pytest.mark.parametrize(
    "function, multiplies",
    [
        ("add_shifted<int>", False),
        ("add_shifted<float>", False),
        ("::add_narrow(", False),
        ("::add_wide(", False),
        ("multiply_rows<aqe::(anonymous namespace)::ByteDot", True),
    ],
)
def test_shift_has_no_multiply_instruction(built, function, multiplies):
    if platform.machine() != "x86_64" and "::" in function:
        pytest.skip("a function of the kernels for x86-64")
    machine = {"x86_64": "x86-64"}.get(platform.machine(), "aarch64")
    library = built / "libkeras_aqe_kernels.a"
    found = multiplications(library, function, machine)
    assert all(bool(names) == multiplies for names in found.values()), found


@pytest.mark.slow
@pytest.mark.skipif(
    not any("amx" in kernel for kernel, _ in WIDTHS),
    reason="needs a compiler that knows AMX",
)
def test_amx_multiplies_by_tiles(built):
    """No CPU with AMX has run these kernels; they do have its products."""
    loops = {
        name: {i.mnemonic for i in body}
        for name, body in functions(built / "libkeras_aqe_kernels.a").items()
        if "amx::Multiplier" in name and "::add_up<" in name
    }
    assert loops
    needed = {"tileloadd", "tdpbusd", "tilestored"}
    assert all(needed <= found for found in loops.values()), loops


@pytest.mark.slow
@pytest.mark.skipif(
    platform.machine() != "x86_64", reason="test_arm.py does it for ARM"
)
def test_shared_functions_run_on_every_cpu(built):
    """Files are compiled for their own instruction sets; of what several of
    them define, the linker keeps one copy for all."""
    library = built / "libkeras_aqe_kernels.a"
    shared = shared_functions(library)
    assert shared
    needs = {
        name: sorted({i.mnemonic for i in body if i.mnemonic.startswith("v")})
        for name, body in shared.items()
    }
    assert not {name: found for name, found in needs.items() if found}


@pytest.mark.long
def test_kernels_under_sanitizers(sanitized):
    subprocess.run([sanitized / "kernel_tester", "--cases", "60"], check=True)
    for tester in ("pool_tester", "fork_tester", "constants_tester"):
        subprocess.run([sanitized / tester], check=True)


@pytest.mark.long
def test_threads_under_sanitizer():
    """No data race in the pool, nor between the units of a kernel."""
    folder = build("-DKERAS_AQE_SANITIZE=thread")
    subprocess.run(
        [folder / "kernel_tester", "--threads", "4", "--cases", "10"],
        check=True,
    )
    for tester in ("pool_tester", "fork_tester", "constants_tester"):
        subprocess.run([folder / tester], check=True)


@pytest.mark.long
def test_damaged_files_under_sanitizers(sanitized):
    """10,000 files run or are refused; nothing is read out of bounds."""
    libraries = [
        subprocess.run(
            ["c++", f"-print-file-name={name}"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    subprocess.run(
        [
            *(sys.executable, "-m", "tests.runtime.fuzz"),
            sanitized / "libkeras_aqe_delegate.so",
            *("10000", "0"),
        ],
        check=True,
        cwd=ROOT,
        env={
            **os.environ,
            "LD_PRELOAD": ":".join(libraries),
            # Python itself leaks on purpose.
            "ASAN_OPTIONS": "detect_leaks=0",
        },
    )
