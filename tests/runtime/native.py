"""Builds the C++ of `runtime/` and its tests."""

import pathlib
import subprocess

RUNTIME = pathlib.Path(__file__).parents[2] / "runtime"


def build(folder, *options):
    """Builds all into a folder, with CMake options."""
    configure = ["cmake", "-G", "Ninja", "-S", RUNTIME, "-B", folder]
    subprocess.run([*configure, "-DKERAS_AQE_TESTS=ON", *options], check=True)
    subprocess.run(["cmake", "--build", folder], check=True)
    return folder
