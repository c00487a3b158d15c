"""ARM under emulation: cross compilers, emulators, and root folders with Python
and LiteRT, for 32 bits tflite-runtime, since LiteRT has no wheels for them.

Needs Debian's or Ubuntu's g++-aarch64-linux-gnu, qemu-user-static and
mmdebstrap, for 32 bits g++-arm-linux-gnueabihf. The roots are made once, in
build/arm64-root and build/armhf-root, and one for each CPU beside them.
"""

import contextlib
import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys

import filelock

TOOLS = (
    "cmake",
    "ninja",
    "aarch64-linux-gnu-g++",
    "qemu-aarch64-static",
    "mmdebstrap",
)
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
TOOLS_32_BIT = (
    "cmake",
    "ninja",
    "arm-linux-gnueabihf-g++",
    "qemu-arm-static",
    "mmdebstrap",
)
MISSING_32_BIT = [tool for tool in TOOLS_32_BIT if shutil.which(tool) is None]
# Without the dot product, with it, and with products of matrices as well.
CPUS = ("cortex-a53", "neoverse-n1", "max")
# The first with NEON, and the first in which tflite-runtime runs. No kernel for
# 32 bits asks what a CPU has.
CPU_32_BIT, LITERT_CPU_32_BIT = "cortex-a8", "cortex-a7"

# ARM's numbers of cores; of "max", which is none, that of a Cortex-A710, which
# has products of matrices, too.
_PARTS = {
    "cortex-a7": 0xC07,
    "cortex-a53": 0xD03,
    "cortex-a76": 0xD0B,
    "neoverse-n1": 0xD0C,
    "max": 0xD47,
}

_REPOSITORY = pathlib.Path(__file__).parents[2]
_TOOLCHAINS = _REPOSITORY / "runtime" / "cmake"
TOOLCHAIN = _TOOLCHAINS / "aarch64-linux-gnu.cmake"
TOOLCHAIN_32_BIT = _TOOLCHAINS / "arm-linux-gnueabihf.cmake"
_PACKAGES = ["python3", "libstdc++6", "libgcc-s1", "zlib1g", "libexpat1"]


def root():
    """A Debian with Python, and the aarch64 wheels of the pinned LiteRT.

    Raises:
        subprocess.CalledProcessError: If it cannot be downloaded.
    """
    wheels = [
        f"{name}=={importlib.metadata.version(name)}"
        for name in ("ai-edge-litert", "numpy")
    ]
    platforms = [
        f"manylinux{tag}_aarch64" for tag in ("2014", "_2_17", "_2_27")
    ]
    return _root("arm64", _PACKAGES, wheels, platforms)


def root_32_bit():
    """A Debian with Python and NumPy, and the wheel of tflite-runtime.

    Raises:
        subprocess.CalledProcessError: If it cannot be downloaded.
    """
    # The last release, and the one that setup.cfg names.
    wheels = ["--no-deps", "tflite-runtime==2.14.0"]
    packages = [*_PACKAGES, "python3-numpy"]
    root = _root("armhf", packages, wheels, ["manylinux_2_34_armv7l"])
    # As Debian's alternatives do where packages are set up, for NumPy.
    for name in ("blas", "lapack"):
        link = root / "usr/lib/arm-linux-gnueabihf" / f"lib{name}.so.3"
        with contextlib.suppress(FileExistsError):
            link.symlink_to(f"{name}/{link.name}")
    return root


def _root(architecture, packages, wheels, platforms):
    folder = _REPOSITORY / "build" / f"{architecture}-root"
    folder.parent.mkdir(exist_ok=True)
    # Several workers of pytest wait for the one that is first.
    with filelock.FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            _make(folder, architecture, packages, wheels, platforms)
    return folder


def _make(folder, architecture, packages, wheels, platforms):
    half = folder.with_suffix(".part")
    shutil.rmtree(half, ignore_errors=True)
    subprocess.run(
        [
            *("mmdebstrap", f"--architectures={architecture}"),
            *("--variant=extract", f"--include={','.join(packages)}"),
            # Without updates, whose mirror is another and may be behind.
            *("bookworm", half, "http://deb.debian.org/debian"),
        ],
        check=True,
    )
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet"),
            *(f"--platform={platform}" for platform in platforms),
            *("--python-version=3.11", "--only-binary=:all:"),
            *(f"--target={half / 'packages'}", *wheels),
        ],
        check=True,
    )
    half.rename(folder)


def described(root, cpu):
    """The root with what Linux says of the CPU, under /proc and /sys.

    LiteRT chooses its kernels by it. Where it finds what an x86 machine says
    of itself, it ends in a segmentation fault.

    Args:
        root: What `root()` or `root_32_bit()` returned.
        cpu: QEMU's name of the CPU, and what it has or not.
    """
    name = cpu.split(",")[0]
    folder = root.with_name(f"{root.name}-{name}")
    with filelock.FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            half = folder.with_suffix(".part")
            shutil.rmtree(half, ignore_errors=True)
            _describe(half, _PARTS[name])
            for entry in root.iterdir():
                (half / entry.name).symlink_to(f"../{root.name}/{entry.name}")
            half.rename(folder)
    return folder


def _describe(folder, part):
    """As Linux does, of a CPU with one core."""
    said = {
        "processor": "0",
        "CPU implementer": "0x41",
        "CPU architecture": "8" if part >= 0xD00 else "7",
        "CPU variant": "0x0",
        "CPU part": f"{part:#x}",
        "CPU revision": "1",
    }
    cpuinfo = folder / "proc" / "cpuinfo"
    cpuinfo.parent.mkdir(parents=True)
    cpuinfo.write_text("".join(f"{key}\t: {said[key]}\n" for key in said))
    cores = folder / "sys" / "devices" / "system" / "cpu"
    cores.mkdir(parents=True)
    for which in ("possible", "present"):
        (cores / which).write_text("0\n")


def python(root, cpu, emulator=("qemu-aarch64-static",)):
    """How to start that root's Python on an emulated CPU.

    Args:
        root: What `root()` or `root_32_bit()` returned.
        cpu: QEMU's name of the CPU, and what it has or not.
        emulator: The emulator and its own options.

    Returns:
        The command as a tuple, and its environment.
    """
    command = (
        *(*emulator, "-cpu", cpu, "-L", described(root, cpu)),
        root / "usr/bin/python3.11",
    )
    environment = {
        **os.environ,
        "PYTHONHOME": str(root / "usr"),
        "PYTHONPATH": str(root / "packages"),
    }
    return command, environment
