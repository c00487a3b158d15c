"""What `cmake --install` gives to C programs, found by CMake and pkg-config."""

import ctypes
import os
import pathlib
import shutil
import subprocess

import pytest

from keras_aqe import runtime
from tests.runtime.native import build

PROGRAM = pathlib.Path(__file__).with_name("c_program.c")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    # Moved after the installation, as an archive is that somebody unpacks.
    installed = tmp_path_factory.mktemp("sdk") / "installed"
    subprocess.run(
        ["cmake", "--install", build(), "--prefix", installed], check=True
    )
    return installed.rename(installed.with_name("moved"))


def kernel_table(program, **variables):
    return subprocess.run(
        [program],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def expected():
    table = ctypes.CDLL(runtime.library_path()).keras_aqe_kernel_table
    table.restype = ctypes.c_char_p
    return table().decode()


@pytest.mark.parametrize("library", ["delegate", "delegate_static"])
def test_cmake_finds_it(library, prefix, expected, tmp_path):
    # C++ links what the static library is written in.
    shutil.copy(PROGRAM, tmp_path / "program.cc")
    (tmp_path / "CMakeLists.txt").write_text(
        f"""
        cmake_minimum_required(VERSION 3.16)
        project(program CXX)
        find_package(keras_aqe 0.1 REQUIRED)
        add_executable(program program.cc)
        target_link_libraries(program keras_aqe::{library})
        """
    )
    configure = ["cmake", "-G", "Ninja", "-S", tmp_path, "-B", tmp_path / "b"]
    subprocess.run([*configure, f"-DCMAKE_PREFIX_PATH={prefix}"], check=True)
    subprocess.run(["cmake", "--build", tmp_path / "b"], check=True)
    assert kernel_table(tmp_path / "b" / "program") == expected


@pytest.mark.skipif(not shutil.which("pkg-config"), reason="no pkg-config")
@pytest.mark.parametrize("is_static", [False, True])
def test_pkg_config_finds_it(is_static, prefix, expected, tmp_path):
    (folder,) = prefix.rglob("pkgconfig")
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "keras_aqe"]
        + ["--static"] * is_static,
        env={**os.environ, "PKG_CONFIG_PATH": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.split()
    if is_static:
        at = flags.index("-lkeras_aqe_delegate")
        flags[at] = "-l:libkeras_aqe_delegate.a"
    program = tmp_path / "program"
    command = ["cc", "-std=c99", "-pedantic", "-Werror", PROGRAM]
    subprocess.run([*command, "-o", program, *flags], check=True)
    library = str(folder.parent)
    assert kernel_table(program, LD_LIBRARY_PATH=library) == expected
