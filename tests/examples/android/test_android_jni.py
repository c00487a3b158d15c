"""The Android project's native functions and Kotlin classes, in a plain JVM.

The Kotlin takes a compiler, `kotlinc`, in the variable KOTLINC or on the PATH.
"""

import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest

from keras_aqe import runtime
from tests.runtime.android import PROJECT
from tests.runtime.native import ROOT

HERE = pathlib.Path(__file__).parent
JDK = pathlib.Path(shutil.which("javac") or "/none").resolve().parents[1]
KOTLINC = shutil.which(os.environ.get("KOTLINC", "kotlinc"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (JDK / "include" / "jni.h").exists(),
        reason="no JDK (default-jdk-headless)",
    ),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    delegate = pathlib.Path(runtime.library_path())
    path = tmp_path_factory.mktemp("jni") / "libkeras_aqe_jni.so"
    headers = (JDK / "include", JDK / "include/linux", ROOT / "runtime/include")
    subprocess.run(
        [
            *("cc", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"),
            *(f"-I{folder}" for folder in headers),
            *(PROJECT / "aqe/src/main/cpp/aqe_jni.c", delegate, "-o", path),
            f"-Wl,-rpath,{delegate.parent}",
        ],
        check=True,
    )
    return path


def test_native_functions(library, tmp_path):
    sources = sorted((HERE / "java").rglob("*.java"))
    subprocess.run(["javac", "-d", tmp_path, *sources], check=True)
    outcome = subprocess.run(
        # Checks what native code does with Java's objects.
        ["java", "-Xcheck:jni", "-cp", tmp_path, "org.kerasaqe.Natives"]
        + [library],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert outcome.stdout == "done\n"


def upright_means(pixels, rotation, side):
    """The middle square of an image, turned, in means of whole pixels."""
    pixels = np.rot90(pixels, -rotation // 90).astype("float64")
    height, width, _ = pixels.shape
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    pixels = pixels[top : top + edge, left : left + edge]
    starts = [i * edge // side for i in range(side + 1)]
    spans = [
        slice(a, max(a + 1, b))
        for a, b in zip(starts[:-1], starts[1:], strict=True)
    ]
    means = [[pixels[y, x].mean((0, 1)) for x in spans] for y in spans]
    return np.array(means) / 127.5 - 1


@pytest.mark.long  # The compiler takes a minute.
@pytest.mark.skipif(KOTLINC is None, reason="no Kotlin compiler (kotlinc)")
def test_kotlin_classes(library, tmp_path):
    sources = [
        *(PROJECT / "aqe/src/main/kotlin").rglob("*.kt"),
        *(PROJECT / "app/src/main/kotlin").rglob("Pixels.kt"),
        *(HERE / "kotlin").glob("*.kt"),
    ]
    program = tmp_path / "program.jar"
    subprocess.run(
        [KOTLINC, "-include-runtime", "-d", program, *sources], check=True
    )
    random = np.random.default_rng(0)
    cases = [
        (random.integers(0, 256, (*shape, 3), "uint8"), rotation, side)
        for shape in ((7, 7), (12, 5), (5, 12), (48, 64))
        for rotation in (0, 90, 180, 270)
        for side in (1, 4, 9)
    ]
    lines = []
    for pixels, rotation, side in cases:
        height, width, _ = pixels.shape
        red, green, blue = pixels.astype("int64").transpose(2, 0, 1)
        argb = (255 << 24 | red << 16 | green << 8 | blue) - (1 << 32)
        lines.append(f"{width} {height} {rotation} {side}\n")
        lines.append(" ".join(map(str, argb.ravel())) + "\n")
    outcome = subprocess.run(
        [
            *("java", f"-Djava.library.path={library.parent}"),
            *("-Xcheck:jni", "-jar", program),
        ],
        input="".join(lines),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    received = outcome.stdout.splitlines()
    assert len(received) == len(cases)
    for (pixels, rotation, side), line in zip(cases, received, strict=True):
        np.testing.assert_allclose(
            np.array(line.split(), "float64").reshape(side, side, 3),
            upright_means(pixels, rotation, side),
            atol=1e-6,
        )
