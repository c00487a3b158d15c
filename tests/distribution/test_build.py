"""What `make dist` built, in clean environments: run by `make test-dist`."""

import email
import functools
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest

from keras_aqe import models, runtime
from keras_aqe.converters import Interpreter, convert
from tests.randomised import images, randomise
from tests.runtime import arm
from tests.runtime.engines import run, run_in_child
from tests.runtime.native import ROOT

DIST = ROOT / "dist"
LIBRARY = "libkeras_aqe_delegate.so"
PROGRAM = ROOT / "tests" / "runtime" / "c_program.c"
# The emulator of each other architecture, and what it needs to start.
EMULATORS = {
    "aarch64": ("qemu-aarch64-static", "/usr/aarch64-linux-gnu"),
    "armv7": ("qemu-arm-static", "/usr/arm-linux-gnueabihf"),
}
PYTHONS = ["3.11", "3.12", "3.13"]

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not DIST.exists(),
        reason="nothing is in dist/ (make dist)",
    ),
]


def built(pattern):
    """The one file in dist/ of a name."""
    found = list(DIST.glob(pattern))
    if not found:
        pytest.skip(f"dist/ has no {pattern}")
    (path,) = found
    return path


def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("/METADATA"))
        return email.message_from_bytes(archive.read(name))


def library_of(wheel, folder):
    with zipfile.ZipFile(wheel) as archive:
        return archive.extract(f"keras_aqe_runtime/{LIBRARY}", folder)


@functools.cache
def small():
    """A network as a packed file, images, and what comes of them here."""
    model = randomise(models.MINWNet("D", 2, 2, filters=6, dense_units=20))
    file, x = convert(model).flatbuffer, images((32, 32, 3))
    return file, x, Interpreter(file).predict(x)


@pytest.fixture(scope="module")
def uv(tmp_path_factory):
    """Installs fast, and keeps what it has downloaded."""
    folder = tmp_path_factory.mktemp("uv")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "uv"]
    subprocess.run(pip, check=True)
    return folder / "bin" / "uv"


def find(uv, version):
    """The path of a Python of that version, empty where there is none."""
    # What pyenv puts on the PATH fails for versions that are not chosen.
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", "~/.pyenv"))
    folders = pyenv.expanduser().glob(f"versions/{version}.*/bin")
    path = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
    return subprocess.run(
        [uv, "python", "find", "--no-python-downloads", version],
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()


def environment(uv, folder, python, *requirements):
    """A clean environment with something of dist/; returns its Python."""
    subprocess.run(
        [uv, "venv", "--quiet", "--python", python, folder], check=True
    )
    installed = folder / "bin" / "python"
    subprocess.run(
        [
            *(uv, "pip", "install", "--quiet", "--python", installed),
            *("--find-links", DIST, *requirements),
        ],
        check=True,
    )
    return installed


RUNS = """
import importlib.util, os, sys, time
started = time.process_time()
import keras_aqe_runtime
print(time.process_time() - started)
for name in ("tensorflow", "keras", "keras_aqe", "rich"):
    assert importlib.util.find_spec(name) is None, name
import numpy as np
print(keras_aqe_runtime.kernels()[0])
assert keras_aqe_runtime.environment() is not None
y = keras_aqe_runtime.Interpreter("model.tflite").predict(np.load("x.npy"))
np.save("y.npy", y)
"""


@pytest.mark.parametrize("python", PYTHONS)
def test_the_runtime_alone(python, uv, tmp_path):
    interpreter = find(uv, python)
    if not interpreter:
        pytest.skip(f"no Python {python}")
    built(f"keras_aqe_runtime-*manylinux*_{platform.machine()}.whl")
    file, x, expected = small()
    (tmp_path / "model.tflite").write_bytes(file)
    np.save(tmp_path / "x.npy", x)
    clean = environment(
        uv, tmp_path / "environment", interpreter, "keras-aqe-runtime"
    )
    printed = subprocess.run(
        [clean, "-c", RUNS],
        cwd=tmp_path,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    seconds, features, *_ = printed.splitlines()
    assert float(seconds) < 1
    # What a library of the compiler's says of the CPU may differ.
    assert features == runtime.kernels()[0]
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)


CONVERTS = """
import numpy as np
import keras_aqe as aqe
from keras_aqe import converters
model = aqe.models.MINWNet("D", 2, 2, filters=6, dense_units=20)
file = converters.convert(model)
file.save("model.tflite")
x = np.zeros((2, 32, 32, 3), "float32")
np.testing.assert_array_equal(
    converters.Interpreter(file).predict(x), model.predict(x)
)
"""


def test_the_converter_brings_the_runtime(uv, tmp_path):
    wheel = built("keras_aqe-*-py3-none-any.whl")
    built(f"keras_aqe_runtime-*manylinux*_{platform.machine()}.whl")
    clean = environment(
        uv, tmp_path / "environment", sys.executable, "keras-aqe"
    )
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(
        [clean, "-c", CONVERTS], cwd=tmp_path, check=True, env=variables
    )
    subprocess.run([uv, "pip", "check", "--python", clean], check=True)
    version = metadata(wheel)["Version"]
    required = metadata(wheel).get_all("Requires-Dist")
    assert f"keras-aqe-runtime=={version}" in required
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert not [n for n in names if n.startswith("keras_aqe_runtime/")]
    assert not [n for n in names if n.endswith(".so")]


@pytest.mark.parametrize("package", ["keras_aqe", "keras_aqe_runtime"])
def test_wheels_have_types_a_licence_and_one_version(package):
    built(f"{package}-*-py3-none-any.whl")
    license = (ROOT / "LICENSE").read_bytes()
    for wheel in DIST.glob(f"{package}-*.whl"):
        version = metadata(wheel)["Version"]
        assert wheel.name.startswith(f"{package}-{version}-")
        with zipfile.ZipFile(wheel) as archive:
            assert archive.read(f"{package}/py.typed") == b""
            path = f"{package}-{version}.dist-info/licenses/LICENSE"
            assert archive.read(path) == license


def test_the_runtime_needs_litert_and_numpy_alone():
    built("keras_aqe_runtime-*-py3-none-any.whl")
    for wheel in DIST.glob("keras_aqe_runtime-*.whl"):
        required = metadata(wheel).get_all("Requires-Dist")
        names = {re.match(r"[\w-]+", each)[0] for each in required}
        assert names == {"ai-edge-litert", "numpy"}
        _, _, python, abi, tag = wheel.stem.split("-")
        assert (python, abi) == ("py3", "none")
        assert tag == "any" or re.fullmatch(r"manylinux_2_17_\w+", tag)


def test_where_there_is_no_wheel_the_others_say_so(tmp_path):
    wheel = built("keras_aqe_runtime-*-py3-none-any.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path)
    script = """
import keras_aqe_runtime
try:
    keras_aqe_runtime.library_path()
except RuntimeError as error:
    print(error)
"""
    printed = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    assert "The native runtime is not in" in printed
    assert str(tmp_path) in printed


def versions(library):
    """The symbol versions that a library needs, of each library."""
    symbols = subprocess.run(
        ["readelf", "--version-info", "--wide", library],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    return set(re.findall(r"Name: ([A-Z]+)_([\d.]+)", symbols))


@pytest.mark.parametrize("name", ["x86_64", "aarch64", "armv7"])
def test_libraries_run_with_glibc_2_17(name, tmp_path):
    paths = []
    if name != "armv7":
        wheel = built(f"keras_aqe_runtime-*manylinux*_{name}.whl")
        paths.append(library_of(wheel, tmp_path))
    paths.append(sdk(name, tmp_path) / "lib" / LIBRARY)
    for path in paths:
        needed = versions(path)
        assert needed
        for family, number in needed:
            assert family == "GLIBC", family
            assert tuple(map(int, number.split("."))) <= (2, 17), number


def sdk(name, folder):
    archive = built(f"keras_aqe_sdk-*-linux-{name}.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(folder)
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.mark.parametrize("library", ["delegate", "delegate_static"])
@pytest.mark.parametrize("name", ["x86_64", "aarch64", "armv7"])
def test_programs_find_the_archive(name, library, tmp_path):
    prefix = sdk(name, tmp_path)
    options, emulator = [f"-DCMAKE_PREFIX_PATH={prefix}"], []
    if name != platform.machine():
        program, root = EMULATORS[name]
        if not shutil.which(program):
            pytest.skip(f"no {program}")
        toolchain = pathlib.Path(root).name + ".cmake"
        options += [
            f"-DCMAKE_TOOLCHAIN_FILE={ROOT / 'runtime' / 'cmake' / toolchain}",
            "-DCMAKE_FIND_ROOT_PATH_MODE_PACKAGE=BOTH",
        ]
        emulator = [program, "-L", root]
    shutil.copy(PROGRAM, tmp_path / "program.cc")
    (tmp_path / "CMakeLists.txt").write_text(
        f"""
        cmake_minimum_required(VERSION 3.16)
        project(program CXX)
        find_package(keras_aqe REQUIRED)
        add_executable(program program.cc)
        target_link_libraries(program keras_aqe::{library})
        """
    )
    build = tmp_path / "build"
    subprocess.run(
        ["cmake", "-G", "Ninja", "-S", tmp_path, "-B", build, *options],
        check=True,
    )
    subprocess.run(["cmake", "--build", build], check=True)
    table = subprocess.run(
        [*emulator, build / "program"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    assert "conv_2d_planes_portable" in table


@pytest.mark.skipif(
    bool(arm.MISSING), reason=f"no {', '.join(arm.MISSING)} for ARM"
)
def test_the_wheel_for_arm_gives_the_same(tmp_path):
    wheel = built("keras_aqe_runtime-*manylinux*_aarch64.whl")
    try:
        root = arm.root()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"files are not run on ARM: {error}")
    python, variables = arm.python(root, "cortex-a53")
    file, x, _ = small()
    actual = run_in_child(
        file,
        x,
        "ai_edge_litert",
        pathlib.Path(library_of(wheel, tmp_path)),
        1,
        # XNNPACK cannot run under qemu.
        resolver="BUILTIN_WITHOUT_DEFAULT_DELEGATES",
        python=python,
        env=variables,
    )
    np.testing.assert_array_equal(actual, run(file, x))


def tracked(*folders):
    return set(
        subprocess.run(
            ["git", "ls-files", *folders],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout.split()
    )


def files_in(pattern):
    """The files in an archive, as they lie in its one folder."""
    with tarfile.open(built(pattern)) as archive:
        return {
            member.name.partition("/")[2]
            for member in archive
            if not member.isdir()
        }


def test_the_source_archive_of_the_converter():
    held = files_in("keras_aqe-[0-9]*.tar.gz")
    assert tracked("keras_aqe", "converters", "examples/pretrained") <= held
    assert not [path for path in held if path.startswith("runtime/")]


def test_the_source_archive_of_the_runtime():
    held = files_in("keras_aqe_runtime-*.tar.gz") - {"PKG-INFO"}
    assert {f"runtime/{path}" for path in held} == tracked("runtime")


def test_the_archive_for_android_builds_what_it_needs():
    held = files_in("keras_aqe_android-*.tar.gz")
    assert held == tracked("LICENSE", "runtime", "examples/android")
