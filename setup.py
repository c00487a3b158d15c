"""Builds the native runtime with the host's compiler; metadata: setup.cfg."""

import pathlib
import shutil
import subprocess
import sys
import tempfile

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = pathlib.Path(__file__).parent


class BuildRuntime(build_ext):
    """Runs CMake; without a compiler the package installs all the same."""

    def get_ext_filename(self, fullname):
        suffix = "dylib" if sys.platform == "darwin" else "so"
        return f"{fullname.replace('.', '/')}.{suffix}"

    def build_extension(self, extension):
        target = pathlib.Path(self.get_ext_fullpath(extension.name)).resolve()
        try:
            with tempfile.TemporaryDirectory() as build:
                self._cmake("-G", "Ninja", "-S", ROOT / "runtime", "-B", build)
                self._cmake("--build", build)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(pathlib.Path(build) / target.name, target)
        except (OSError, subprocess.CalledProcessError) as error:
            target.unlink(missing_ok=True)  # of an older build
            self.warn(
                f"the native runtime was not built ({error}). keras-aqe "
                "trains and converts without it, but packed files cannot run "
                "here until it is installed again with a C++17 compiler."
            )

    @staticmethod
    def _cmake(*arguments):
        subprocess.run(["cmake", *map(str, arguments)], check=True)

    def get_outputs(self):
        outputs = super().get_outputs()
        return [path for path in outputs if pathlib.Path(path).exists()]


setup(
    ext_modules=[Extension("keras_aqe.runtime.libkeras_aqe_delegate", [])],
    cmdclass={"build_ext": BuildRuntime},
    setup_requires=[t for t in ("cmake", "ninja") if not shutil.which(t)],
)
