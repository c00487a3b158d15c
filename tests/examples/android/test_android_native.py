"""The libraries of the Android project, built for API 24: what is in them, and
their kernels under Android's own linker and C library. Run by
`make test-android`."""

import re
import subprocess

import pytest

from tests.runtime import android

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        bool(android.missing()),
        reason=f"Android is not tested: no {'; '.join(android.missing())}",
    ),
]

PAGE = 16384
# Every Android has these, for apps too.
SYSTEM = {"libc.so", "libdl.so", "libm.so"}
# What else each library needs.
LIBRARIES = {
    "runtime/libkeras_aqe_delegate.so": set(),
    "libkeras_aqe_jni.so": {"libkeras_aqe_delegate.so"},
}
SYMBOLS = {
    "runtime/libkeras_aqe_delegate.so": {
        "LiteRtAcceleratorImpl",
        "keras_aqe_create_delegate",
        "keras_aqe_destroy_delegate",
        "keras_aqe_kernel_table",
        "keras_aqe_profile",
        "keras_aqe_register_accelerator",
        "tflite_plugin_create_delegate",
        "tflite_plugin_destroy_delegate",
    },
    "libkeras_aqe_jni.so": {
        "Java_org_kerasaqe_AqeAccelerator_definition",
        "Java_org_kerasaqe_AqeDelegate_create",
        "Java_org_kerasaqe_AqeDelegate_destroy",
    },
}
# A program that finds LiteRT where Java's loader keeps it: in its own scope.
STUB = """
#define FUNCTION(name) int name(void) { return 0; }
FUNCTION(LiteRtCreateAccelerator)
FUNCTION(LiteRtSetAcceleratorGetName)
FUNCTION(LiteRtSetAcceleratorGetVersion)
FUNCTION(LiteRtSetAcceleratorGetHardwareSupport)
FUNCTION(LiteRtSetDelegateFunction)
FUNCTION(LiteRtDestroyDelegateWrapper)
int LiteRtRegisterAccelerator(void) { return 42; }
"""
PROGRAM = """
#include <dlfcn.h>
#include "keras_aqe/aqe_delegate.h"
int main(void) {
  struct LiteRtEnvironmentT* environment = (void*)1;
  if (keras_aqe_register_accelerator(environment) != 6) return 1;
  if (dlopen("libLiteRt.so", RTLD_NOW | RTLD_LOCAL) == 0) return 2;
  return keras_aqe_register_accelerator(environment);
}
"""


@pytest.fixture(scope="module", params=android.ABIS)
def folder(request):
    return android.build(request.param)


def readelf(path, *options):
    return subprocess.run(
        ["readelf", "--wide", *options, path],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("name", LIBRARIES)
def test_needs_only_what_every_android_has(folder, name):
    dynamic = readelf(folder / name, "--dynamic")
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
    assert needed - SYSTEM == LIBRARIES[name]
    assert "TEXTREL" not in dynamic


@pytest.mark.parametrize("name", LIBRARIES)
def test_segments_lie_on_pages_of_16_kb(folder, name):
    segments = [
        line.split()
        for line in readelf(folder / name, "--segments").splitlines()
        if line.lstrip().startswith("LOAD")
    ]
    assert len(segments) > 1
    for _, offset, address, *_, alignment in segments:
        assert int(alignment, 16) == PAGE
        assert (int(offset, 16) - int(address, 16)) % PAGE == 0


@pytest.mark.parametrize("name", LIBRARIES)
def test_exports_what_is_wanted(folder, name):
    rows = [
        line.split()
        for line in readelf(folder / name, "--dyn-syms").splitlines()[3:]
    ]
    exported = {row[7] for row in rows if len(row) > 7 and row[6] != "UND"}
    assert exported == SYMBOLS[name]


@pytest.mark.parametrize("abi, system, cpu", android.machines())
def test_kernels_equal_reference(abi, system, cpu):
    tester = android.build(abi) / "runtime" / "kernel_tester"
    # On Linux they run more, by other compilers of the same code.
    subprocess.run(
        [
            *android.emulator(abi, system, "-cpu", cpu),
            *(tester, "--cases", "20"),
        ],
        check=True,
    )


@pytest.mark.parametrize(
    "abi, system",
    [
        pytest.param(abi, system, id=f"{abi}-{system.name}")
        for abi in android.EMULATED
        for system in android.systems(abi)
    ],
)
def test_finds_a_litert_that_java_loaded(abi, system, tmp_path):
    (tmp_path / "stub.c").write_text(STUB)
    (tmp_path / "program.c").write_text(PROGRAM)
    stub = tmp_path / "libLiteRt.so"
    delegate = android.build(abi) / "runtime" / "libkeras_aqe_delegate.so"
    android.compile_c(
        abi,
        *("-shared", tmp_path / "stub.c", "-o", stub),
        f"-Wl,-soname,{stub.name}",
    )
    android.compile_c(
        abi,
        *(tmp_path / "program.c", delegate, "-o", tmp_path / "program"),
        f"-I{android.ROOT / 'runtime' / 'include'}",
    )
    path = f"LD_LIBRARY_PATH={tmp_path}:{delegate.parent}"
    outcome = subprocess.run(
        [*android.emulator(abi, system, "-E", path), tmp_path / "program"]
    )
    assert outcome.returncode == 42
