"""Builds the C++ of `runtime/` and its tests, once for all processes."""

import functools
import pathlib
import re
import shutil
import subprocess

import filelock

ROOT = pathlib.Path(__file__).parents[2]
BUILDS = ROOT / "build" / "native"


@functools.cache
def build(*options):
    """Builds all with CMake options; what is up to date stays.

    Returns:
        The folder of the build, one for each set of options. Without any it
        is the one in which `pip install --editable` has compiled the library.
    """
    name = re.sub(r"\W+", "-", "-".join(["tests", *options]).lower())
    folder = BUILDS / (name if options else "_skbuild")
    folder.mkdir(parents=True, exist_ok=True)
    # Several workers of pytest wait for the one that is first.
    with filelock.FileLock(folder.with_suffix(".lock")):
        _begin_again_without_ninja(folder / "CMakeCache.txt")
        subprocess.run(
            ["cmake", "-G", "Ninja", "-S", ROOT / "runtime", "-B", folder]
            + ["-DKERAS_AQE_TESTS=ON", "-USKBUILD*", *options],
            check=True,
        )
        subprocess.run(["cmake", "--build", folder], check=True)
    return folder


def _begin_again_without_ninja(cache):
    """pip may have built by make, or by a ninja that it brought along."""
    program = f"={shutil.which('ninja')}\n"
    if cache.exists() and program not in cache.read_text():
        shutil.rmtree(cache.parent)
