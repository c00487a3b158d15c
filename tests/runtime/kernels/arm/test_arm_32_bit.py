"""32-bit ARM under emulation: the kernels against the reference."""

import subprocess

import pytest

from tests.runtime import arm
from tests.runtime.native import build

# The first with NEON. No kernel here asks what more a CPU has.
CPU = "cortex-a8"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        bool(arm.MISSING_32_BIT),
        reason=f"32-bit ARM: no {', '.join(arm.MISSING_32_BIT)}",
    ),
]


@pytest.fixture(scope="module")
def arm_build():
    return build(f"-DCMAKE_TOOLCHAIN_FILE={arm.TOOLCHAIN_32_BIT}")


@pytest.mark.parametrize("threads, cases", [(1, 20), (3, 6)])
def test_kernels_equal_reference(arm_build, threads, cases):
    printed = subprocess.run(
        [
            *("qemu-arm-static", "-cpu", CPU, "-L", "/usr/arm-linux-gnueabihf"),
            *(arm_build / "kernel_tester", "--cases", str(cases)),
            *("--threads", str(threads)),
        ],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    # Others are written for 64 bits, and left out.
    assert "CPU features: none" in printed
    assert "_portable: " in printed and "neon" not in printed


def test_the_compiler_may_use_neon(arm_build):
    """And nothing that came after it, as a division of integers."""
    attributes = subprocess.run(
        ["readelf", "--arch-specific", arm_build / "libkeras_aqe_delegate.so"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    assert "Tag_Advanced_SIMD_arch: NEONv1\n" in attributes
    assert "Tag_CPU_arch: v7\n" in attributes
