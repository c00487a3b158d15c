"""Builds the native runtime with the host's compiler; metadata: setup.cfg."""

import configparser
import pathlib

from scikit_build_core.errors import (
    FailedLiveProcessError,
    FailedProcessError,
    ScikitBuildError,
)
from scikit_build_core.setuptools.build_cmake import BuildCMake
from setuptools import find_packages, setup


class BuildRuntime(BuildCMake):
    """Without a compiler the package installs all the same."""

    def run(self):
        package, root = "keras_aqe/runtime", self.build_lib
        if (
            self.editable_mode
            or self.get_finalized_command("build_ext").inplace
        ):
            # Where the package lies in the repository.
            package, root = "runtime", "."
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
        yield package
        yield from (f"{package}.{inner}" for inner in find_packages(folder))


setup(
    packages=sorted(packages()),
    cmake_source_dir="runtime",
    cmdclass={"build_cmake": BuildRuntime},
)
