"""Android without its SDK: Zig's Clang with the sysroot of the NDK, and the
emulator with Android's own linker and C library.

Nothing is fetched; `make test-android` says in variables where things lie:

    ZIG              the command of Zig, as PyPI's `ziglang` has it
    ANDROID_SYSROOT  toolchains/llvm/prebuilt/linux-x86_64/sysroot of the NDK
    ANDROID_ROOTFS   folders with system/bin and system/lib64 of an Android
"""

import os
import pathlib
import shutil
import subprocess

from tests.runtime.arm import CPUS
from tests.runtime.native import ROOT

PROJECT = ROOT / "examples" / "android"
API = 24
# What Zig, the sysroot and CMake call the processor of each ABI.
ABIS = {
    "arm64-v8a": ("aarch64-linux-android", "aarch64-linux-android", "aarch64"),
    "x86_64": ("x86_64-linux-android", "x86_64-linux-android", "x86_64"),
}

_BUILDS = ROOT / "build" / "android"
_ZIG = os.environ.get("ZIG")
_SYSROOT = pathlib.Path(os.environ.get("ANDROID_SYSROOT", "/none"))
_ROOTFS = pathlib.Path(os.environ.get("ANDROID_ROOTFS", "/none"))

# Zig takes Clang's -march=armv8.2-a+dotprod as a CPU and its features.
_TOOL = r"""#!/bin/sh
export ZIG_LIBC={libc}
for word; do
  shift
  case $word in
    -march=armv8.*) word=$(echo $word |
      sed -E 's/-march=armv8.([0-9])-a/-mcpu=generic+v8_\1a/') ;;
  esac
  set -- "$@" "$word"
done
exec {command} "$@"
"""


def _libraries(abi):
    return _SYSROOT / "usr" / "lib" / ABIS[abi][1] / str(API)


def missing():
    """What it would take to build for Android, and to run that here."""
    tools = ("cmake", "ninja", "readelf", "qemu-aarch64-static")
    found = {
        **{tool: shutil.which(tool) for tool in tools},
        "ZIG, PyPI's ziglang": _ZIG,
        "SYSROOT, as in unicornx/android-ndk-ci": all(
            (_libraries(abi) / "libc.so").exists() for abi in ABIS
        ),
        "ROOTFS, as in qilingframework/rootfs": systems(),
    }
    return [name for name, value in found.items() if not value]


def systems():
    """Folders of 64-bit ARM Androids, for the emulator's option -L."""
    return sorted(
        linker.parents[2] for linker in _ROOTFS.glob("*/system/bin/linker64")
    )


def machines():
    """Pairs of a system and a CPU, in which each comes up."""
    count = max(len(systems()), len(CPUS)) if systems() else 0
    return [
        (systems()[i % len(systems())], CPUS[i % len(CPUS)])
        for i in range(count)
    ]


def build(abi):
    """Builds the libraries of `examples/android`, and the tester of kernels.

    Returns:
        The folder of the build.
    """
    folder = _BUILDS / abi
    folder.mkdir(parents=True, exist_ok=True)
    source = PROJECT / "aqe" / "src" / "main" / "cpp"
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={_toolchain(abi, folder)}"
    subprocess.run(
        ["cmake", "-G", "Ninja", "-S", source, "-B", folder]
        + ["-DKERAS_AQE_TESTS=ON", toolchain],
        check=True,
    )
    subprocess.run(["cmake", "--build", folder], check=True)
    return folder


def compile_c(abi, *arguments):
    """Compiles C by the tools of a build."""
    subprocess.run([_BUILDS / abi / "cc", *arguments], check=True)


def _toolchain(abi, folder):
    target, system, processor = ABIS[abi]
    include = _SYSROOT / "usr" / "include"
    libc = folder / "libc.txt"
    libc.write_text(
        f"include_dir={include}\n"
        f"sys_include_dir={include / system}\n"
        f"crt_dir={_libraries(abi)}\n"
        f"gcc_dir={_libraries(abi)}\n"
        "msvc_lib_dir=\nkernel32_lib_dir=\ndarwin_sdk_dir=\n"
    )
    options = f"-target {target}.{API} -L{_libraries(abi)}"
    for tool in ("cc", "c++", "ar", "ranlib"):
        command = f"{_ZIG} {tool} {options if tool[0] == 'c' else ''}"
        script = folder / tool
        script.write_text(_TOOL.format(libc=libc, command=command))
        script.chmod(0o755)
    # With Android as its system's name CMake asks for an NDK.
    lines = {
        "CMAKE_SYSTEM_NAME": "Linux",
        "CMAKE_SYSTEM_PROCESSOR": processor,
        "CMAKE_C_COMPILER": folder / "cc",
        "CMAKE_CXX_COMPILER": folder / "c++",
        "CMAKE_AR": folder / "ar",
        "CMAKE_RANLIB": folder / "ranlib",
    }
    path = folder / "toolchain.cmake"
    path.write_text("".join(f"set({k} {v})\n" for k, v in lines.items()))
    return path
