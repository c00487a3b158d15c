"""Android without its SDK: Zig's Clang with the sysroot of the NDK, and the
emulator with Android's own linker and C library.

Nothing is fetched; `make test-android` says in variables where things lie:

    ZIG              Zig's program, as PyPI's `ziglang` has it
    ANDROID_SYSROOT  toolchains/llvm/prebuilt/linux-x86_64/sysroot of the NDK
    ANDROID_ROOTFS   folders with system/bin, lib and lib64 of an Android
"""

import functools
import os
import pathlib
import shutil
import subprocess

import filelock

from tests.runtime import arm
from tests.runtime.native import ROOT

PROJECT = ROOT / "examples" / "android"
API = 24
# What Zig and the sysroot call the processor of each ABI.
ABIS = {
    "arm64-v8a": "aarch64-linux-android",
    "armeabi-v7a": "arm-linux-androideabi",
    "x86_64": "x86_64-linux-android",
}
# Android's linkers, emulators for them, and the CPUs to emulate.
EMULATED = {
    "arm64-v8a": ("linker64", "qemu-aarch64-static", arm.CPUS),
    # A 64-bit phone's 32-bit C library divides as no ARMv7 does before it.
    "armeabi-v7a": ("linker", "qemu-arm-static", ("cortex-a15",)),
}

_TOOLCHAIN = ROOT / "runtime" / "cmake" / "zig.cmake"
_BUILDS = ROOT / "build" / "android"
_ZIG = os.environ.get("ZIG")
_SYSROOT = pathlib.Path(os.environ.get("ANDROID_SYSROOT", "/none"))
_ROOTFS = pathlib.Path(os.environ.get("ANDROID_ROOTFS", "/none"))


def _libraries(abi):
    return _SYSROOT / "usr" / "lib" / ABIS[abi] / str(API)


def missing():
    """What it would take to build for Android, and to run that here."""
    tools = (
        "cmake",
        "ninja",
        "readelf",
        *(row[1] for row in EMULATED.values()),
    )
    found = {
        **{tool: shutil.which(tool) for tool in tools},
        "ZIG, PyPI's ziglang": _ZIG,
        "SYSROOT, as in unicornx/android-ndk-ci": all(
            (_libraries(abi) / "libc.so").exists() for abi in ABIS
        ),
        "ROOTFS, as in qilingframework/rootfs": all(map(systems, EMULATED)),
    }
    return [name for name, value in found.items() if not value]


def systems(abi):
    """Folders of Androids that run such programs, sorted."""
    linker = EMULATED[abi][0]
    return sorted(
        path.parents[2] for path in _ROOTFS.glob(f"*/system/bin/{linker}")
    )


def machines():
    """ABIs, systems and CPUs to run on, in which each comes up."""
    for abi, (_, _, cpus) in EMULATED.items():
        found = systems(abi)
        for i in range(max(len(found), len(cpus)) if found else 0):
            yield abi, found[i % len(found)], cpus[i % len(cpus)]


def emulator(abi, system, *options):
    """The command to which a program for that Android is given."""
    return EMULATED[abi][1], "-L", system, *options


@functools.cache
def build(abi):
    """Builds the libraries of `examples/android`, and the tester of kernels
    where that can be run.

    Returns:
        The folder of the build.
    """
    folder = _BUILDS / abi
    source = PROJECT / "aqe" / "src" / "main" / "cpp"
    targets = ["keras_aqe_jni"] + ["kernel_tester"] * (abi in EMULATED)
    folder.mkdir(parents=True, exist_ok=True)
    # Several workers of pytest wait for the one that is first.
    with filelock.FileLock(folder.with_suffix(".lock")):
        variables = _variables(abi)
        subprocess.run(
            ["cmake", "-G", "Ninja", "-S", source, "-B", folder]
            + ["-DKERAS_AQE_TESTS=ON", "-DCMAKE_BUILD_TYPE=Release"]
            + [f"-DCMAKE_TOOLCHAIN_FILE={_TOOLCHAIN}"],
            check=True,
            env=variables,
        )
        subprocess.run(
            ["cmake", "--build", folder, "--target", *targets],
            check=True,
            env=variables,
        )
    return folder


def compile_c(abi, *arguments):
    """Compiles and links C for that Android, behind `build`."""
    variables = _variables(abi)
    subprocess.run(
        [
            *(_ZIG, "cc", "-target", variables["ZIG_TARGET"]),
            *(variables["LDFLAGS"], *arguments),
        ],
        check=True,
        env=variables,
    )


def _variables(abi):
    """The environment that makes `runtime/cmake/zig.cmake` build for it."""
    include = _SYSROOT / "usr" / "include"
    libc = _BUILDS / f"{abi}.txt"
    text = (
        f"include_dir={include}\n"
        f"sys_include_dir={include / ABIS[abi]}\n"
        f"crt_dir={_libraries(abi)}\n"
        f"gcc_dir={_libraries(abi)}\n"
        "msvc_lib_dir=\nkernel32_lib_dir=\ndarwin_sdk_dir=\n"
    )
    # Another worker may be compiling by it.
    if not libc.exists() or libc.read_text() != text:
        libc.write_text(text)
    return {
        **os.environ,
        "ZIG": _ZIG,
        "ZIG_LIBC": str(libc),
        "ZIG_TARGET": f"{ABIS[abi]}.{API}",
        "LDFLAGS": f"-L{_libraries(abi)}",
    }
