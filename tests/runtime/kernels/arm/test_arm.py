"""64-bit ARM under emulation: the kernels against reference, and whole files
in the real aarch64 LiteRT against x86, to the bit. Run by `make test-arm`."""

import pathlib
import re
import subprocess

import numpy as np
import pytest

from keras_aqe import models
from keras_aqe.converters import convert
from tests.randomised import images as random_images
from tests.randomised import randomise
from tests.runtime import arm
from tests.runtime.disassembly import multiplications, shared_functions
from tests.runtime.engines import run, run_in_child
from tests.runtime.native import build
from tests.runtime.networks import small_network
from tests.runtime.test_accelerator import build_program
from tests.runtime.test_delegate import WIDTHS, images

COMPILED_CHILD = pathlib.Path(arm.__file__).with_name("compiled_child.py")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        bool(arm.MISSING),
        reason=f"ARM is not tested: no {', '.join(arm.MISSING)}",
    ),
]


@pytest.fixture(scope="module")
def arm_build():
    return build(f"-DCMAKE_TOOLCHAIN_FILE={arm.TOOLCHAIN}")


@pytest.fixture(scope="module")
def arm_root():
    try:
        return arm.root()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"files are not run on ARM: {error}")


# The last runs all kernels; the others leave out those that they have not.
@pytest.mark.parametrize("cpu, cases", zip(arm.CPUS, (10, 10, 40), strict=True))
def test_kernels_equal_reference(arm_build, cpu, cases):
    subprocess.run(
        [
            *("qemu-aarch64-static", "-cpu", cpu),
            *("-L", "/usr/aarch64-linux-gnu"),
            *(arm_build / "kernel_tester", "--cases", str(cases)),
        ],
        check=True,
    )


def run_on_arm(file, x, root, library, cpu, num_threads):
    python, environment = arm.python(root, cpu)
    return run_in_child(
        file,
        x,
        "ai_edge_litert",
        library,
        num_threads,
        python=python,
        env=environment,
    )


@pytest.mark.parametrize("cpu", arm.CPUS)
@pytest.mark.parametrize("widths", WIDTHS)
def test_files_equal_x86(widths, cpu, arm_build, arm_root):
    network, source, target = small_network(*widths)
    file, x = network.write([source], [target]), images()
    library = pathlib.Path(arm_build) / "libkeras_aqe_delegate.so"
    actual = run_on_arm(file, x, arm_root, library, cpu, num_threads=2)
    np.testing.assert_array_equal(actual, run(file, x))


@pytest.mark.parametrize("cpu", arm.CPUS)
@pytest.mark.parametrize("bits", [1, 2, 3])
def test_model_d_equals_x86(bits, cpu, arm_build, arm_root):
    model = randomise(models.MINWNet("D", bits, bits))
    file = convert(model, target="packed").flatbuffer
    x = random_images((32, 32, 3))[:1]
    library = pathlib.Path(arm_build) / "libkeras_aqe_delegate.so"
    actual = run_on_arm(file, x, arm_root, library, cpu, num_threads=1)
    np.testing.assert_array_equal(actual, run(file, x))


def test_compiled_models_equal_x86(arm_build, arm_root, tmp_path):
    network, source, target = small_network(2, 2)
    file, x = network.write([source], [target]), images()
    (tmp_path / "model.tflite").write_bytes(file)
    np.save(tmp_path / "x.npy", x)
    library = pathlib.Path(arm_build) / "libkeras_aqe_delegate.so"
    # What else the wheel loads needs more than a Cortex-A53.
    python, environment = arm.python(arm_root, "neoverse-n1")
    subprocess.run(
        [*python, COMPILED_CHILD, tmp_path, library, "2"],
        env=environment,
        check=True,
    )
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), run(file, x))


@pytest.mark.parametrize("cpu", arm.CPUS)
def test_compiled_models_from_c_equal_x86(cpu, arm_build, arm_root, tmp_path):
    network, source, target = small_network(3, 3)
    file, x = network.write([source], [target]), images(1)
    (tmp_path / "model.tflite").write_bytes(file)
    litert = arm_root / "packages" / "ai_edge_litert"
    program = build_program(
        tmp_path / "program",
        pathlib.Path(arm_build) / "libkeras_aqe_delegate.so",
        litert,
        compiler="aarch64-linux-gnu-gcc",
    )
    outcome = subprocess.run(
        [
            *("qemu-aarch64-static", "-cpu", cpu),
            *("-L", arm.described(arm_root, cpu)),
            *(program, tmp_path / "model.tflite"),
        ],
        input=x.tobytes(),
        stdout=subprocess.PIPE,
        check=True,
    )
    np.testing.assert_array_equal(
        np.frombuffer(outcome.stdout, "float32"), run(file, x)[0]
    )


@pytest.mark.slow
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


@pytest.mark.slow
def test_shared_functions_run_on_every_cpu(arm_build):
    """Two files are compiled for newer instructions; of what others define as
    well, the linker keeps one copy for all."""
    shared = shared_functions(
        pathlib.Path(arm_build) / "libkeras_aqe_kernels.a",
        "aarch64-linux-gnu-nm",
        "aarch64-linux-gnu-objdump",
    )
    assert shared
    assert not [
        name
        for name, body in shared.items()
        if any(re.fullmatch("[us]dot|[us]mmla", i.mnemonic) for i in body)
    ]
