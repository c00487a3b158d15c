"""64-bit ARM under emulation: cross compiler, emulator, and a root folder with
Python and LiteRT.

Needs Debian's or Ubuntu's g++-aarch64-linux-gnu, qemu-user-static and
mmdebstrap, for 32 bits g++-arm-linux-gnueabihf. The root is made once, in
build/arm64-root.
"""

import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys

TOOLS = (
    "cmake",
    "ninja",
    "aarch64-linux-gnu-g++",
    "qemu-aarch64-static",
    "mmdebstrap",
)
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
# For 32 bits: kernels alone, since LiteRT has no wheels for them.
TOOLS_32_BIT = ("cmake", "ninja", "arm-linux-gnueabihf-g++", "qemu-arm-static")
MISSING_32_BIT = [tool for tool in TOOLS_32_BIT if shutil.which(tool) is None]
# Without the dot product, with it, and with products of matrices as well.
CPUS = ("cortex-a53", "neoverse-n1", "max")

_REPOSITORY = pathlib.Path(__file__).parents[2]
_TOOLCHAINS = _REPOSITORY / "runtime" / "cmake"
TOOLCHAIN = _TOOLCHAINS / "aarch64-linux-gnu.cmake"
TOOLCHAIN_32_BIT = _TOOLCHAINS / "arm-linux-gnueabihf.cmake"
_ROOT = _REPOSITORY / "build" / "arm64-root"


def root():
    """A Debian with Python, and the aarch64 wheels of the pinned LiteRT.

    Raises:
        subprocess.CalledProcessError: If it cannot be downloaded.
    """
    if not _ROOT.exists():
        half = _ROOT.with_suffix(".part")
        shutil.rmtree(half, ignore_errors=True)
        _ROOT.parent.mkdir(exist_ok=True)
        _make(half)
        half.rename(_ROOT)
    return _ROOT


def _make(folder):
    packages = "python3,libstdc++6,libgcc-s1,zlib1g,libexpat1"
    subprocess.run(
        [
            "mmdebstrap",
            "--architectures=arm64",
            "--variant=extract",
            f"--include={packages}",
            "bookworm",
            folder,
        ],
        check=True,
    )
    versions = [
        f"{name}=={importlib.metadata.version(name)}"
        for name in ("ai-edge-litert", "numpy")
    ]
    platforms = [
        f"--platform=manylinux{tag}_aarch64"
        for tag in ("2014", "_2_17", "_2_27")
    ]
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet"),
            *(*platforms, "--python-version=3.11"),
            *("--only-binary=:all:", f"--target={folder / 'packages'}"),
            *versions,
        ],
        check=True,
    )


def python(root, cpu, emulator=("qemu-aarch64-static",)):
    """How to start that root's Python on an emulated CPU.

    Args:
        root: What `root()` returned.
        cpu: QEMU's name of the CPU.
        emulator: The emulator and its own options.

    Returns:
        The command as a tuple, and its environment.
    """
    command = (
        *(*emulator, "-cpu", cpu, "-L", root),
        root / "usr/bin/python3.11",
    )
    environment = {
        **os.environ,
        "PYTHONHOME": str(root / "usr"),
        "PYTHONPATH": str(root / "packages"),
    }
    return command, environment
