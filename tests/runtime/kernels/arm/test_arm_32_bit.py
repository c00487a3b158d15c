"""32-bit ARM under emulation: the kernels against the reference, and whole
files in tflite-runtime against x86, to the bit. Run by `make test-arm`."""

import subprocess

import numpy as np
import pytest

from keras_aqe import models
from keras_aqe.converters import convert
from tests.randomised import images as random_images
from tests.randomised import randomise
from tests.runtime import arm
from tests.runtime.engines import run, run_in_child
from tests.runtime.native import build
from tests.runtime.networks import small_network
from tests.runtime.test_delegate import WIDTHS, images

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
            *(
                "qemu-arm-static",
                "-cpu",
                arm.CPU_32_BIT,
                "-L",
                "/usr/arm-linux-gnueabihf",
            ),
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


@pytest.fixture(scope="module")
def arm_root():
    try:
        return arm.root_32_bit()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"files are not run on 32-bit ARM: {error}")


def run_on_arm(file, x, root, library, num_threads):
    python, environment = arm.python(
        root, arm.LITERT_CPU_32_BIT, ("qemu-arm-static",)
    )
    return run_in_child(
        file,
        x,
        "tflite_runtime",
        library,
        num_threads,
        # XNNPACK cannot run under qemu.
        resolver="BUILTIN_WITHOUT_DEFAULT_DELEGATES",
        python=python,
        env=environment,
    )


@pytest.mark.parametrize("widths", WIDTHS)
def test_files_equal_x86(widths, arm_build, arm_root):
    network, source, target = small_network(*widths)
    file, x = network.write([source], [target]), images()
    library = arm_build / "libkeras_aqe_delegate.so"
    actual = run_on_arm(file, x, arm_root, library, num_threads=2)
    np.testing.assert_array_equal(actual, run(file, x))


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_model_d_equals_x86(bits, arm_build, arm_root):
    model = randomise(models.MINWNet("D", bits, bits, filters=24))
    file = convert(model, target="packed").flatbuffer
    x = random_images((32, 32, 3))[:1]
    library = arm_build / "libkeras_aqe_delegate.so"
    actual = run_on_arm(file, x, arm_root, library, num_threads=1)
    np.testing.assert_array_equal(actual, run(file, x))


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
