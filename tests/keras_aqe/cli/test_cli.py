"""All subcommands: their help, their exit codes, what they print."""

import importlib
import json
import os
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe import cli, converters


def run(capsys, *arguments):
    """Exit code and what was printed of a subcommand."""
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


OWN = """
import keras

@keras.saving.register_keras_serializable("theirs")
class Own(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""


def run_json(capsys, *arguments):
    code, out, _ = run(capsys, *arguments, "--json")
    return code, json.loads(out)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, its files, a model with faults, and examples."""
    folder = tmp_path_factory.mktemp("cli")
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            aqe.layers.QuantConv2D(4, 3, kernel_quantizer="binary", name="a"),
            keras.layers.BatchNormalization(),
            aqe.layers.QuantActivation("binary"),
            aqe.layers.QuantConv2D(4, 3, kernel_quantizer="binary", name="b"),
            keras.layers.Flatten(),
        ]
    )
    model.save(folder / "model.keras")
    converters.convert(model).save(folder / "model.tflite")
    plain = keras.Sequential(
        [keras.Input((8, 8, 2)), keras.layers.Conv2D(4, 3)]
    )
    converters.convert(plain, "tflite").save(folder / "plain.tflite")
    keras.Sequential(
        [
            keras.Input((4, 4, 4, 2)),
            aqe.layers.QuantConv3D(2, 2, kernel_quantizer="binary", name="c"),
        ]
    ).save(folder / "refused.keras")
    images = np.random.default_rng(0).normal(size=(5, 8, 8, 2))
    np.save(folder / "images.npy", images.astype("float32"))
    return folder


def test_help_comes_without_keras():
    """And so in a fraction of a second, for each subcommand."""
    program = """if True:
        import sys
        from importlib.abc import MetaPathFinder
        class Refuse(MetaPathFinder):
            def find_spec(self, name, path, target=None):
                if name.split(".")[0] in ("keras", "numpy", "rich", "jax",
                                          "tensorflow", "torch"):
                    sys.exit(f"imports {name}")
        sys.meta_path.insert(0, Refuse())
        sys.argv = ["keras-aqe", *sys.argv[1:]]
        import keras_aqe
    """
    for arguments in (["--help"], ["--version"], ["benchmark", "--help"]):
        process = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr
        assert process.stdout.startswith(("usage: keras-aqe", "keras-aqe 0"))


@pytest.mark.parametrize("options", [["-m", "keras_aqe"], ["-umkeras_aqe"]])
def test_the_module_is_the_command(options):
    process = subprocess.run(
        [sys.executable, *options, "no-command"],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 2 and "no-command" in process.stderr
    # Before Keras is imported, whose backend says that it is.
    assert "absl" not in process.stderr


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_has_examples_of_the_command_that_parse(name, capsys):
    code, out, _ = run(capsys, name, "--help")
    assert code == 0 and "exit codes:" in out and "--json" in out
    examples = [
        line.split("#")[0].split("|")[0].split("keras-aqe ")[1].split()
        for line in cli.COMMANDS[name].EXAMPLES.splitlines()
        if line.startswith("  ") and "keras-aqe " in line
    ]
    assert examples
    for example in examples:
        assert example[0] == name
        cli.build_parser().parse_args([a.strip("'") for a in example])


def test_targets_are_those_of_convert():
    from keras_aqe.converters.targets import TARGETS as known

    assert list(cli.inputs.TARGETS) == list(known)


@pytest.mark.slow
def test_check(folder, capsys):
    code, found = run_json(capsys, "check", folder / "model.keras")
    assert code == 0 and found["ok"]
    assert [layer["name"] for layer in found["layers"]] == ["a", "b"]
    code, out, _ = run(capsys, "check", folder / "refused.keras")
    assert code == 1 and "QuantConv3D" in out
    code, found = run_json(capsys, "check", folder / "refused.keras")
    assert code == 1 and found["faults"][0]["layer"] == "c"


@pytest.mark.slow
def test_convert_describe_and_verify(folder, capsys, tmp_path):
    model, file = folder / "model.keras", tmp_path / "new.tflite"
    code, found = run_json(capsys, "convert", model, file)
    assert code == 0 and found["bytes"] == file.stat().st_size
    assert converters.report(file) == converters.report(folder / "model.tflite")
    code, found = run_json(capsys, "describe", file)
    assert code == 0 and found["target"] == "packed"
    code, out, _ = run(capsys, "describe", file)
    assert code == 0 and str(converters.report(file)) in out
    data = folder / "images.npy"
    code, found = run_json(capsys, "verify", model, file, "--data", data)
    assert code == 0 and found["examples"] == 5 and found["faultless"]
    code, out, _ = run(capsys, "verify", model, file, "--examples", 3)
    assert code == 0 and "3 examples" in out
    code, found = run_json(capsys, "convert", folder / "refused.keras")
    assert code == 1 and "QuantConv3D" in found["error"]
    assert not (folder / "refused.tflite").exists()


@pytest.mark.slow
def test_quantize(folder, capsys, tmp_path):
    names = ("first", "middle", "other", "last")
    layers = [keras.layers.Conv2D(2, 3, name=name) for name in names]
    layers.insert(2, keras.layers.DepthwiseConv2D(1, name="depth"))
    keras.Sequential([keras.Input((10, 10, 2)), *layers]).save(
        tmp_path / "float.keras"
    )
    np.save(tmp_path / "data.npy", np.zeros((2, 10, 10, 2), "float32"))
    arguments = ["--override", "middle=4,3", "--skip", "oth*"]
    arguments += ["--data", tmp_path / "data.npy", "--depthwise-bits", "8,3"]
    twin = tmp_path / "twin.keras"
    code, found = run_json(
        capsys, "quantize", tmp_path / "float.keras", twin, *arguments
    )
    assert code == 0 and found["quantized"] == ["middle", "depth"]
    for name, bits in (("middle", (4, 3)), ("depth", (8, 3))):
        layer = keras.models.load_model(twin).get_layer(name)
        quantizers = layer.input_quantizer, layer.kernel_quantizer
        assert tuple(quantizer.bits for quantizer in quantizers) == bits
    code, out, _ = run(
        capsys, "quantize", tmp_path / "float.keras", twin, "--input-bits", 1
    )
    assert code == 0 and "middle" in out and "Written" in out
    code, _, err = run(
        capsys, "quantize", tmp_path / "float.keras", twin, "--skip", "none"
    )
    assert code == 3 and "none" in err
    for wrong in ("middle", "middle=x", "=2", "middle=1,2,3"):
        code, _, err = run(
            *(capsys, "quantize", "a.keras", "b.keras", "--override", wrong),
        )
        assert code == 2 and "NAME=BITS" in err


@pytest.mark.slow
def test_what_cannot_be_read(folder, capsys, tmp_path):
    short = tmp_path / "short.tflite"
    short.write_bytes((folder / "model.tflite").read_bytes()[:1000])
    for arguments, words in (
        (["describe", short], "damaged"),
        (["describe", tmp_path / "none.tflite"], "none.tflite"),
        (["benchmark", short], "damaged"),
        (["check", tmp_path / "none.keras"], "there is no file"),
        (["check", short], "not a model that Keras can load"),
        (["verify", folder / "refused.keras", folder / "model.tflite"], ""),
        (["plot", folder / "model.keras", "--layer", "z"], "has a, b"),
    ):
        code, out, err = run(capsys, *arguments)
        assert code == 3 and words in err and not out
        assert err.startswith("keras-aqe: ")


USAGE = (
    (["train", "mnist"], "mnist"),
    (["train", "digits", "--input-bits", "5"], "5"),
    (["train", "digits", "--learning-rate", "nan"], "above 0"),
    (["train", "digits", "--train-images", "9"], "--batch-size"),
    (["quantize", "a.keras", "b.h5"], ".keras"),
    (["quantize", "a.keras", "b.keras", "--override", "x=5"], "a width"),
    (["convert", "a.keras", "a.keras"], "is the model"),
    (["plot", "a.keras", "b.keras"], "one .keras"),
    (["benchmark", "{text}", "--against", "int8"], "--float"),
)
# The first word of each is a command, and the last what is said.
FAILURES = (
    (["check", "{folder}"], "is a folder"),
    (["check", "{text}"], "not a model that Keras can load"),
    (["check", "{h5}"], "not a model that Keras can load"),
    (["check", "{other}"], "no .zip archive"),
    (["check", "{model}", "--import", "no_such_module"], "no_such_module"),
    (["convert", "{model}", "{none}/a.tflite"], "No such file"),
    (["describe", "{folder}"], "Is a directory"),
    (["describe", "{model}"], ".tflite"),
    (["describe", "{other}"], "other.keras'."),
    (["benchmark", "{text}"], ".tflite"),
    (["verify", "{model}", "{none}"], "No such file"),
    (["verify", "{model}", "{tflite}", "--data", "{none}"], "No such file"),
    (["verify", "{model}", "{tflite}", "--data", "{text}"], ".npz"),
    (["verify", "{model}", "{tflite}", "--data", "{empty}"], ".npz"),
    (["verify", "{model}", "{tflite}", "--data", "{arrays}"], "0 arrays"),
    (["plot", "{none}"], "No such file"),
    (["plot", "{folder}"], "results.json: No such file"),
    (["plot", "{text}"], "no history"),
    (["plot", "{tflite}"], "no history"),
    (["plot", "{float}"], "no layer with a quantized"),
    (["quantize", "{float}", "{none}/a.keras"], "a.keras: No such file"),
    (["train", "digits", "--output", "{text}"], "File exists"),
    (["demo", "--output", "{text}"], "File exists"),
)


@pytest.fixture(scope="module")
def places(folder):
    """Paths of files of all kinds, good and bad."""
    places = {"model": "model.keras", "tflite": "model.tflite"}
    places |= {name: name for name in ("none", "text", "empty", "h5")}
    places |= {"arrays": "arrays.npz", "float": "float.keras"}
    places |= {"other": "other.keras"}
    places = {name: str(folder / path) for name, path in places.items()}
    for name in ("text", "other.keras"):
        (folder / name).write_text("[1, 2]")
    (folder / "empty").touch()
    (folder / "h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    np.savez(folder / "arrays.npz")
    plain = [keras.Input((4,)), keras.layers.Dense(2)]
    keras.Sequential(plain).save(folder / "float.keras")
    return {**places, "folder": str(folder)}


@pytest.mark.slow
@pytest.mark.parametrize("expected", [2, 3])
def test_what_goes_wrong_is_one_line_and_an_exit_code(expected, places, capsys):
    for arguments, words in USAGE if expected == 2 else FAILURES:
        arguments = [argument.format(**places) for argument in arguments]
        code, out, err = run(capsys, *arguments, "--json")
        assert code == expected and not out, (arguments, err)
        line = err.splitlines()[-1]
        assert words in line and line.startswith("keras-aqe"), arguments
        # The parser says how it is used first.
        assert expected == 2 or len(err.splitlines()) == 1, err


def test_a_fault_of_ours_has_no_traceback_unless_asked(capsys, monkeypatch):
    def fail(args):
        raise KeyError("what was not thought of")

    monkeypatch.setattr(cli.kernels, "run", fail)
    code, _, err = run(capsys, "kernels")
    assert code == 3 and len(err.splitlines()) == 1 and "KeyError" in err
    monkeypatch.setenv("KERAS_AQE_TRACEBACK", "1")
    with pytest.raises(KeyError):
        cli.main(["kernels"])


def test_json_has_null_for_what_is_no_number(capsys, monkeypatch):
    losses = {"loss": [np.inf, 1.0], "rest": (float("nan"), "a", None)}
    monkeypatch.setattr(cli.kernels, "run", lambda args: (0, losses))
    code, found = run_json(capsys, "kernels")
    assert code == 0
    assert found == {"loss": [None, 1.0], "rest": [None, "a", None]}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        pytest.param(["kernels", "--json"], marks=pytest.mark.program),
    ],
)
@pytest.mark.parametrize("gone", ["reader", "space"])
def test_nobody_reads_what_is_printed(arguments, gone):
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    with open("/dev/full" if gone == "space" else "/dev/null", "w") as full:
        process = subprocess.Popen(
            [sys.executable, "-m", "keras_aqe", *arguments],
            stdout=full if gone == "space" else subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        if gone == "reader":
            process.stdout.close()
        err = process.stderr.read()
    assert process.wait() == 3
    assert ("No space left" in err) == (gone == "space")
    assert "Traceback" not in err and "Exception ignored" not in err


@pytest.mark.slow
def test_layers_of_ones_own_come_from_a_module(
    folder, capsys, tmp_path, monkeypatch
):
    (tmp_path / "theirs.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    conv = aqe.layers.QuantConv2D(4, 3, kernel_quantizer="binary", name="a")
    own = importlib.import_module("theirs").Own()
    model = keras.Sequential([keras.Input((8, 8, 2)), own, conv])
    path, file = tmp_path / "own.keras", folder / "model.tflite"
    model.save(path)
    for command in (
        ["check", path],
        ["plot", path, "--output", tmp_path / "kernels.png"],
        ["benchmark", file, "--against", "int8", "--float", path],
    ):
        keras.saving.get_custom_objects().pop("theirs>Own")
        sys.modules.pop("theirs")
        assert run(capsys, *command)[0] == 3
        assert run(capsys, *command, "--import", "theirs")[0] == 0


def test_an_interrupt_while_keras_is_imported_leaves_no_traceback():
    program = """if True:
        import os, signal, sys
        from importlib.abc import MetaPathFinder
        class Interrupt(MetaPathFinder):
            def find_spec(self, name, path, target=None):
                if name == "keras":
                    os.kill(os.getpid(), signal.SIGINT)
        sys.meta_path.insert(0, Interrupt())
        sys.argv = ["keras-aqe", "kernels"]
        import keras_aqe
    """
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True
    )
    assert process.returncode == -signal.SIGINT
    assert not process.stdout and not process.stderr


@pytest.mark.program
def test_an_interrupt_while_it_trains_leaves_no_traceback(tmp_path):
    command = [sys.executable, "-um", "keras_aqe", "train", "digits"]
    process = subprocess.Popen(
        [*command, "--filters", "4", "--output", str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert any("Epoch 1/" in line for line in process.stdout)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130 and "Traceback" not in err


@pytest.mark.slow
def test_benchmark_against_int8_and_another_file(folder, capsys):
    files = [folder / "model.tflite", folder / "plain.tflite"]
    few = ["--rounds", 2, "--repeats", 2]
    code, found = run_json(
        capsys, "benchmark", files[0], "--against", "int8", *few
    )
    assert code == 0
    ours, theirs = found["files"]
    assert ours["runs"] == 4 and ours["memory_mib"] > 0
    assert {part["layer"] for part in ours["profile"]} >= {"a", "b"}
    assert all(part["ms"] > 0 for part in ours["profile"])
    assert set(ours["kernels"]) == {p["kernel"] for p in ours["profile"]}
    assert theirs["file"] == "int8" and theirs["times_faster"] == 1
    assert not theirs["profile"]
    code, out, _ = run(capsys, "benchmark", *files, "--against", files[1], *few)
    assert code == 0 and "times faster" in out and "all other" in out
    code, found = run_json(
        *(capsys, "benchmark", files[0], "--against", "int8"),
        *("--float", files[1], *few),
    )
    assert code == 0 and found["files"][1]["bytes"] > 0
    code, _, err = run(capsys, "benchmark", files[1], "--against", "int8", *few)
    assert code == 2 and "--float" in err


@pytest.mark.slow
def test_plot_draws_curves_and_kernels(folder, capsys, tmp_path):
    run_folder, picture = tmp_path / "run", tmp_path / "plot.png"
    run_folder.mkdir()
    history = {"val_accuracy": [0.1, 0.2], "val_loss": [2.0, 1.0]}
    results = json.dumps({"history": history})
    (run_folder / "results.json").write_text(results)
    code, found = run_json(capsys, "plot", run_folder, "--output", picture)
    assert code == 0 and picture.read_bytes()[:4] == b"\x89PNG"
    code, found = run_json(
        capsys, "plot", folder / "model.keras", "--output", picture
    )
    assert code == 0 and found["drawn"] == ["a", "b"]


def test_kernels(capsys):
    code, found = run_json(capsys, "kernels")
    assert code == 0 and any(k["runs_here"] for k in found["kernels"])
    code, out, _ = run(capsys, "kernels")
    assert all(kernel["name"] in out for kernel in found["kernels"])
