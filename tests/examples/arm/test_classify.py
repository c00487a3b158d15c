"""The programs that classify an image, on x86-64 and on emulated ARM."""

import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from keras_aqe import layers, runtime
from keras_aqe.converters import Interpreter, convert
from tests.runtime import arm
from tests.runtime.native import build
from tests.runtime.test_accelerator import LITERT

EXAMPLE = pathlib.Path(__file__).parents[3] / "examples" / "arm"
STB = pathlib.Path("/usr/include/stb/stb_image.h")

needs_stb = pytest.mark.skipif(not STB.exists(), reason="no libstb-dev")


@pytest.fixture(scope="module", params=["float32", "uint8"])
def case(request, tmp_path_factory):
    """A file, an image, and the scores that Python has for them."""
    folder = tmp_path_factory.mktemp(request.param)
    x = inputs = keras.Input((8, 6, 3), dtype=request.param)
    if request.param == "uint8":
        x = keras.layers.Rescaling(1 / 128, -1)(x)
    x = layers.QuantConv2D(70, 3, kernel_quantizer="ternary")(x)
    x = keras.layers.BatchNormalization()(x)
    x = layers.QuantConv2D(
        7, 3, input_quantizer="binary", kernel_quantizer="binary"
    )(x)
    outputs = keras.layers.GlobalAveragePooling2D()(x)
    converted = convert(keras.Model(inputs, outputs))
    converted.save(folder / "model.tflite")
    pixels = np.random.default_rng(3).integers(0, 256, (8, 6, 3), "uint8")
    Image.fromarray(pixels).save(folder / "image.png")
    if request.param == "float32":
        pixels = np.float32(1 / 127.5) * pixels.astype("float32") - 1
    scores = Interpreter(converted).predict(pixels[None])[0]
    assert np.ptp(scores) > 0
    return folder, scores


def lines(scores, labels=range(7)):
    order = np.argsort(-scores, kind="stable")[:3]
    return [f"{labels[i]} {scores[i]:.9g}" for i in order]


def build_program(folder, runtime_build, litert, *options):
    sdk = folder / "sdk"
    subprocess.run(
        ["cmake", "--install", runtime_build, "--prefix", sdk], check=True
    )
    subprocess.run(
        [
            *("cmake", "-G", "Ninja", "-S", EXAMPLE, "-B", folder / "build"),
            *(f"-DCMAKE_PREFIX_PATH={sdk}", f"-DLITERT={litert}", *options),
        ],
        check=True,
    )
    subprocess.run(["cmake", "--build", folder / "build"], check=True)
    return folder / "build" / "classify"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return build_program(tmp_path_factory.mktemp("x86"), build(), LITERT)


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


@needs_stb
@pytest.mark.slow
def test_prints_the_scores_of_python(program, case):
    folder, scores = case
    labels = [f"class {i}" for i in range(7)]
    (folder / "labels.txt").write_text("\n".join(labels))
    outcome = run(
        [
            *(program, folder / "model.tflite", folder / "image.png"),
            *("--labels", folder / "labels.txt", "--runs", "5"),
            *("--threads", "2"),
        ],
        check=True,
    )
    *top, time = outcome.stdout.splitlines()
    assert top == lines(scores, labels)
    assert time.endswith(" ms, median of 5")


@needs_stb
@pytest.mark.slow
@pytest.mark.parametrize(
    "model, image, options, message",
    [
        ("model.tflite", "none.png", [], "none.png: can't fopen"),
        ("none.tflite", "image.png", [], "LiteRtCreateModelFromFile"),
        ("model.tflite", "image.png", ["--bottom", "1"], "--bottom"),
        ("model.tflite", "image.png", ["--top"], "usage: "),
    ],
)
def test_says_what_is_wrong(program, case, model, image, options, message):
    folder, _ = case
    outcome = run([program, folder / model, folder / image, *options])
    assert outcome.returncode == 1
    *_, last = outcome.stderr.splitlines()
    assert last.startswith("classify: ") and message in last


def test_in_python(case):
    folder, scores = case
    script = [sys.executable, EXAMPLE / "classify.py"]
    files = [folder / "model.tflite", folder / "image.png"]
    outcome = run([*script, *files, runtime.library_path()], check=True)
    assert outcome.stdout.splitlines() == lines(scores)


@pytest.mark.long
@needs_stb
@pytest.mark.skipif(
    bool(arm.MISSING),
    reason=f"ARM is not tested: no {', '.join(arm.MISSING)}",
)
def test_on_arm(case, tmp_path):
    folder, scores = case
    try:
        root = arm.root()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"files are not run on ARM: {error}")
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={arm.TOOLCHAIN}"
    litert = root / "packages" / "ai_edge_litert"
    program = build_program(tmp_path, build(toolchain), litert, toolchain)
    for cpu in arm.CPUS:
        outcome = run(
            [
                *("qemu-aarch64-static", "-cpu", cpu, "-L", root, program),
                *(folder / "model.tflite", folder / "image.png"),
                *("--xnnpack", "0", "--runs", "1"),
            ],
            check=True,
        )
        assert outcome.stdout.splitlines()[:-1] == lines(scores)
