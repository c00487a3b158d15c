"""Builds the native runtime with the host's compiler; metadata: setup.cfg.

Where `runtime/` lies beside this file, as in a checkout, it is a part of what
is built, and nothing else need be there. The source archive is without it, and
what is built from that depends on keras-aqe-runtime (`runtime/pyproject.toml`).
"""

import configparser
import pathlib

from scikit_build_core.errors import (
    FailedLiveProcessError,
    FailedProcessError,
    ScikitBuildError,
)
from scikit_build_core.setuptools.build_cmake import BuildCMake
from setuptools import Distribution, find_packages, setup

RUNTIME = pathlib.Path("runtime", "CMakeLists.txt")


class WithRuntime(Distribution):
    def parse_config_files(self, *args, **kwargs):
        super().parse_config_files(*args, **kwargs)
        self.install_requires = self.metadata.install_requires = [
            requirement
            for requirement in self.install_requires
            if not requirement.startswith("keras-aqe-runtime")
        ]


class BuildRuntime(BuildCMake):
    """Without a compiler the package installs all the same."""

    def run(self):
        package, root = "keras_aqe_runtime", self.build_lib
        if (
            self.editable_mode
            or self.get_finalized_command("build_ext").inplace
        ):
            # Where the package lies in the repository.
            package, root = "runtime", "."
            # Here tests go on building: see tests/runtime/native.py.
            self.build_temp = "build/native"
        for library in pathlib.Path(root, package).glob("libkeras_aqe_*"):
            library.unlink()  # of an older build
        self.distribution.cmake_install_dir = package
        try:
            super().run()
        except (
            FailedLiveProcessError,
            FailedProcessError,
            ScikitBuildError,
        ) as error:
            self.warn(
                f"the native runtime was not built ({error}). keras-aqe "
                "trains and converts without it, but packed files cannot run "
                "here until it is installed again with a C++17 compiler."
            )


def packages():
    """What the folders of `package_dir` in setup.cfg hold, so named."""
    config = configparser.ConfigParser()
    config.read("setup.cfg")
    for line in config["options"]["package_dir"].strip().splitlines():
        package, folder = line.split(" = ")
        if pathlib.Path(folder).exists():
            yield package
            inner = find_packages(folder)
            yield from (f"{package}.{name}" for name in inner)


runtime = {}
if RUNTIME.exists():
    runtime = {
        "distclass": WithRuntime,
        "cmake_source_dir": "runtime",
        "cmdclass": {"build_cmake": BuildRuntime},
    }
setup(packages=sorted(packages()), **runtime)
