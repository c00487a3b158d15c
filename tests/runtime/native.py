"""Builds the C++ of `runtime/` and its tests, once for all processes."""

import pathlib
import re
import subprocess

import filelock

ROOT = pathlib.Path(__file__).parents[2]
BUILDS = ROOT / "build" / "native"


def build(*options):
    """Builds all with CMake options; what is up to date stays.

    Returns:
        The folder of the build, one for each set of options.
    """
    name = re.sub(r"\W+", "-", "-".join(["tests", *options]).lower())
    folder = BUILDS / name
    folder.mkdir(parents=True, exist_ok=True)
    # Several workers of pytest wait for the one that is first.
    with filelock.FileLock(folder.with_suffix(".lock")):
        subprocess.run(
            ["cmake", "-G", "Ninja", "-S", ROOT / "runtime", "-B", folder]
            + ["-DKERAS_AQE_TESTS=ON", *options],
            check=True,
        )
        subprocess.run(["cmake", "--build", folder], check=True)
    return folder
