"""The C++ tests: every kernel against reference; the same, and damaged files,
under AddressSanitizer and UndefinedBehaviorSanitizer."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
RUNTIME = ROOT / "runtime"

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("cmake", "ninja", "c++"))),
    reason="needs cmake, ninja and a C++ compiler",
)


def build(folder, *options):
    configure = ["cmake", "-G", "Ninja", "-S", RUNTIME, "-B", folder]
    subprocess.run([*configure, "-DKERAS_AQE_TESTS=ON", *options], check=True)
    subprocess.run(["cmake", "--build", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    return build(tmp_path_factory.mktemp("san"), "-DKERAS_AQE_SANITIZE=ON")


def test_kernels_equal_reference(tmp_path):
    subprocess.run([build(tmp_path) / "kernel_tester"], check=True)


@pytest.mark.long
def test_kernels_under_sanitizers(sanitized):
    subprocess.run([sanitized / "kernel_tester", "--cases", "60"], check=True)


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
