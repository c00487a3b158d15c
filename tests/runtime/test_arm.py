"""64-bit ARM under emulation: the kernels against reference, and whole files
in the real aarch64 LiteRT against x86, to the bit. Run by `make test-arm`.

Needs Debian's or Ubuntu's g++-aarch64-linux-gnu, qemu-user-static and
mmdebstrap. The arm64 root is made once, in build/arm64-root.
"""

import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from keras_aqe import models
from keras_aqe.converters import convert
from tests.converters.networks import images as random_images
from tests.converters.networks import randomise
from tests.runtime.disassembly import multiplications
from tests.runtime.engines import run, run_in_child
from tests.runtime.networks import small_network
from tests.runtime.test_delegate import WIDTHS, images
from tests.runtime.test_kernels import RUNTIME, build

TOOLS = (
    "cmake",
    "ninja",
    "aarch64-linux-gnu-g++",
    "qemu-aarch64-static",
    "mmdebstrap",
)
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
ROOT = RUNTIME.parent / "build" / "arm64-root"
# Without and with the dot product instructions.
CPUS = ("cortex-a53", "neoverse-n1")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        bool(MISSING), reason=f"ARM is not tested: no {', '.join(MISSING)}"
    ),
]


@pytest.fixture(scope="module")
def arm_build(tmp_path_factory):
    toolchain = RUNTIME / "cmake" / "aarch64-linux-gnu.cmake"
    return build(
        tmp_path_factory.mktemp("arm"), f"-DCMAKE_TOOLCHAIN_FILE={toolchain}"
    )


@pytest.fixture(scope="module")
def arm_root():
    """A Debian with Python, and the aarch64 wheels of the pinned LiteRT."""
    if not ROOT.exists():
        half = ROOT.with_suffix(".part")
        shutil.rmtree(half, ignore_errors=True)
        ROOT.parent.mkdir(exist_ok=True)
        try:
            make_root(half)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"files are not run on ARM: {error}")
        half.rename(ROOT)
    return ROOT


def make_root(folder):
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


@pytest.mark.parametrize("cpu", CPUS)
def test_kernels_equal_reference(arm_build, cpu):
    subprocess.run(
        [
            *("qemu-aarch64-static", "-cpu", cpu),
            *("-L", "/usr/aarch64-linux-gnu"),
            arm_build / "kernel_tester",
        ],
        check=True,
    )


def run_on_arm(file, x, root, library, cpu, num_threads):
    return run_in_child(
        file,
        x,
        "ai_edge_litert",
        library,
        num_threads,
        # XNNPACK cannot run under qemu.
        resolver="BUILTIN_WITHOUT_DEFAULT_DELEGATES",
        python=(
            *("qemu-aarch64-static", "-cpu", cpu, "-L", root),
            root / "usr/bin/python3.11",
        ),
        env={
            **os.environ,
            "PYTHONHOME": str(root / "usr"),
            "PYTHONPATH": str(root / "packages"),
        },
    )


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("widths", WIDTHS)
def test_files_equal_x86(widths, cpu, arm_build, arm_root):
    network, source, target = small_network(*widths)
    file, x = network.write([source], [target]), images()
    library = pathlib.Path(arm_build) / "libkeras_aqe_delegate.so"
    actual = run_on_arm(file, x, arm_root, library, cpu, num_threads=2)
    np.testing.assert_array_equal(actual, run(file, x))


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("bits", [1, 2, 3])
def test_model_d_equals_x86(bits, cpu, arm_build, arm_root):
    model = randomise(models.MINWNet("D", bits, bits))
    file = convert(model, target="packed").flatbuffer
    x = random_images((32, 32, 3))[:1]
    library = pathlib.Path(arm_build) / "libkeras_aqe_delegate.so"
    actual = run_on_arm(file, x, arm_root, library, cpu, num_threads=1)
    np.testing.assert_array_equal(actual, run(file, x))


@pytest.mark.parametrize(
    "product, multiplies", [("Shift", False), ("Multiply", True)]
)
def test_shift_has_no_multiply_instruction(arm_build, product, multiplies):
    found = multiplications(
        pathlib.Path(arm_build) / "libkeras_aqe_kernels.a",
        f"products_tile<aqe::(anonymous namespace)::{product}",
        "aarch64",
        "aarch64-linux-gnu-objdump",
    )
    assert all(bool(names) == multiplies for names in found.values()), found
