"""Builds all that is released for Linux into dist/: run by `make dist`.

    python distribution/build.py [sources | ARCHITECTURE...]

Without arguments, for the architectures for which there is a compiler; with
`sources`, only what needs none.

The archive and wheel of keras-aqe; those of keras-aqe-runtime; for each
architecture an archive for C and C++ programs; the sources of the Android
library, where they are there. Needs the packages in `requirements.txt` beside
this file, and for each architecture but this machine's the cross compiler that
its file in runtime/cmake/ names.
"""

import configparser
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).parents[1]
DIST = ROOT / "dist"
BUILDS = ROOT / "build" / "dist"
LIBRARY = "libkeras_aqe_delegate.so"
# Of each architecture: what Zig calls it, with the oldest C library that its
# binaries run with, and the toolchain of its static library, which a program's
# own C++ library has to fit.
ARCHITECTURES = {
    "x86_64": ("x86_64-linux-gnu.2.17", "x86_64-linux-gnu"),
    "aarch64": ("aarch64-linux-gnu.2.17", "aarch64-linux-gnu"),
    "armv7": ("arm-linux-gnueabihf.2.17", "arm-linux-gnueabihf"),
}
# LiteRT has no wheels for others.
WHEELS = ("x86_64", "aarch64")


def main(named):
    architectures, left_out = [], []
    for name in [] if named == ["sources"] else named or ARCHITECTURES:
        if name not in ARCHITECTURES:
            sys.exit(
                f"Architectures are {', '.join(ARCHITECTURES)}, not {name}; "
                "`sources` alone is what needs no compiler."
            )
        compiler = cross_compiler(name)
        if compiler and not shutil.which(compiler):
            package = f"g++-{compiler.removesuffix('-g++')}"
            left_out.append(
                f"{name}: no {compiler} (Debian's and Ubuntu's {package})"
            )
        else:
            architectures.append(name)
    if named and left_out:
        sys.exit("\n".join(left_out))
    shutil.rmtree(DIST, ignore_errors=True)
    python("build", "--no-isolation", "--outdir", DIST, ROOT)
    runtime = ("--no-isolation", "--outdir", DIST, ROOT / "runtime")
    python("build", "--sdist", *runtime)
    for name in architectures:
        library = shared_library(name)
        if name in WHEELS:
            wheel(name)
        sdk(name, library)
    wheel_for_others()
    android()
    for path in sorted(DIST.iterdir()):
        print(f"{path.stat().st_size / 2**20:7.2f} MiB  {path.name}")
    for line in left_out:
        print(f"Left out is {line}.")


def cross_compiler(name):
    """The compiler of an architecture; empty if it is this machine's."""
    return "" if name == platform.machine() else f"{ARCHITECTURES[name][1]}-g++"


def python(module, *arguments, **variables):
    run(sys.executable, "-m", module, *arguments, **variables)


def run(*command, **variables):
    # CMake and Ninja lie beside Python.
    tools = str(pathlib.Path(sys.executable).parent)
    variables["PATH"] = os.pathsep.join([tools, os.environ["PATH"]])
    subprocess.run(command, check=True, env={**os.environ, **variables})


def zig(name):
    """The environment in which runtime/cmake/zig.cmake compiles for it."""
    import ziglang

    program = pathlib.Path(ziglang.__file__).with_name("zig")
    return {"ZIG": str(program), "ZIG_TARGET": ARCHITECTURES[name][0]}


def cmake(folder, *options, target, **variables):
    source = ROOT / "runtime"
    run(
        "cmake",
        "-G",
        "Ninja",
        "-S",
        source,
        "-B",
        folder,
        *options,
        **variables,
    )
    run("cmake", "--build", folder, "--target", target, **variables)


def shared_library(name):
    """Compiles it for every Linux since 2012; returns its path."""
    folder = BUILDS / f"shared-{name}"
    toolchain = ROOT / "runtime" / "cmake" / "zig.cmake"
    cmake(
        folder,
        f"-DCMAKE_TOOLCHAIN_FILE={toolchain}",
        target="keras_aqe_delegate",
        **zig(name),
    )
    return folder / LIBRARY


def wheel(name):
    raw = BUILDS / f"wheel-{name}"
    shutil.rmtree(raw, ignore_errors=True)
    options = (
        *("--wheel", "--no-isolation", "--outdir", raw),
        f"-Cbuild-dir={BUILDS / f'shared-{name}'}",
    )
    python("build", *options, ROOT / "runtime", **zig(name))
    (built,) = raw.glob("*.whl")
    # auditwheel reads the architecture off the name.
    python("wheel", "tags", "--remove", f"--platform-tag=linux_{name}", built)
    (built,) = raw.glob("*.whl")
    tag = f"manylinux_2_17_{name}"
    shown = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", built],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    if f'platform tag: "{tag}"' not in " ".join(shown.split()):
        sys.exit(f"It needs more than {tag} has:\n{shown}")
    python("wheel", "tags", "--remove", f"--platform-tag={tag}", built)
    (built,) = raw.glob("*.whl")
    shutil.copy(built, DIST)


def wheel_for_others():
    """Where no wheel fits, one without the library lets keras-aqe install."""
    wheels = list(DIST.glob("keras_aqe_runtime-*.whl"))
    if not wheels:
        return
    raw = BUILDS / "wheel-any"
    shutil.rmtree(raw, ignore_errors=True)
    python("wheel", "unpack", "--dest", raw, wheels[0])
    (unpacked,) = raw.iterdir()
    (unpacked / "keras_aqe_runtime" / LIBRARY).unlink()
    python("wheel", "pack", "--dest-dir", raw, unpacked)
    (packed,) = raw.glob("*.whl")
    python("wheel", "tags", "--remove", "--platform-tag=any", packed)
    (packed,) = raw.glob("*.whl")
    shutil.copy(packed, DIST)


def sdk(name, library):
    """Header, both libraries and what finds them, as an archive."""
    folder = BUILDS / f"static-{name}"
    options = ["-DCMAKE_INSTALL_LIBDIR=lib"]
    if cross_compiler(name):
        toolchain = f"{ARCHITECTURES[name][1]}.cmake"
        options.append(
            f"-DCMAKE_TOOLCHAIN_FILE={ROOT / 'runtime' / 'cmake' / toolchain}"
        )
    cmake(folder, *options, target="all")
    title = f"keras_aqe_sdk-{version()}-linux-{name}"
    installed = BUILDS / title
    shutil.rmtree(installed, ignore_errors=True)
    run("cmake", "--install", folder, "--prefix", installed)
    shutil.copy(library, installed / "lib")
    shutil.copy(ROOT / "LICENSE", installed)
    with tarfile.open(DIST / f"{title}.tar.gz", "w:gz") as archive:
        archive.add(installed, title)


def android():
    """The Android project with the sources that it compiles."""
    project = ROOT / "examples" / "android"
    if not project.exists():
        return
    title = f"keras_aqe_android-{version()}"
    files = subprocess.run(
        ["git", "ls-files", "LICENSE", "runtime", "examples/android"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.splitlines()
    with tarfile.open(DIST / f"{title}.tar.gz", "w:gz") as archive:
        for file in files:
            archive.add(ROOT / file, f"{title}/{file}")


def version():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config["metadata"]["version"]


if __name__ == "__main__":
    main(sys.argv[1:])
