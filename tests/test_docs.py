"""What the README and docs/ show runs, and what they name is there."""

import configparser
import functools
import importlib
import importlib.util
import pathlib
import re
import shlex

import numpy as np
import pytest
import tensorflow as tf

import keras_aqe as aqe
from keras_aqe import cli, converters, runtime

ROOT = pathlib.Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "docs" / "api").glob("*.md")),
    )
}
# Of what examples leave.
SHAPES = {
    "README.md": {"logits": (16, 10)},
    "docs/conversion.md": {"logits": (1, 10)},
    "docs/runtime.md": {"logits": (10,)},
    "docs/start.md": {"predictions": (4,)},
}
NAMES = {"aqe": aqe, "converters": converters, "runtime": runtime}
# What trains for long enough to learn something, and here for less.
LONG_PAGES = ("docs/five_jobs.md",)


def blocks(text, language):
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def few_digits(monkeypatch):
    """Sixteen of scikit-learn's digits: a step an epoch."""
    datasets = pytest.importorskip("sklearn.datasets")
    whole = datasets.load_digits()
    few = {"images": whole.images[:16], "target": whole.target[:16]}
    few = type(whole)(**few)
    monkeypatch.setattr(datasets, "load_digits", lambda: few)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.program
@pytest.mark.parametrize(
    "page",
    [page for page, text in PAGES.items() if blocks(text, "python")],
)
def test_examples(
    page, few_digits, few_layers, few_weights, monkeypatch, tmp_path
):
    if "plots" in PAGES[page]:
        pytest.importorskip("matplotlib").use("Agg")
    if "nterpreter" in PAGES[page]:
        try:
            runtime.library_path()
        except RuntimeError as error:
            pytest.skip(str(error))
    monkeypatch.chdir(tmp_path)
    names = {}
    for example in blocks(PAGES[page], "python"):
        if page in LONG_PAGES:
            example = re.sub(r"epochs=\d\d", "epochs=8", example)
        # A few batches are done before a graph is compiled.
        tf.config.run_functions_eagerly(
            ".fit(" in example or "tf.function" in example
        )
        exec(example, names)
    for name, shape in SHAPES.get(page, {}).items():
        assert names[name].shape == shape


@functools.cache
def written():
    """The files that pages show the content of, named as `` `mine.py` ``."""
    return set(re.findall(r"`(\w+\.py)`", "\n".join(PAGES.values())))


def commands():
    """The lines of all shell examples, as words."""
    for page, text in PAGES.items():
        for block in blocks(text, "shell"):
            block = re.sub("export .*?'.*?'\n", "", block, flags=re.DOTALL)
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                # Variables of the environment stand in front.
                while words and re.fullmatch(r"\w+=.*", words[0], re.DOTALL):
                    words.pop(0)
                if words:
                    yield pytest.param(words, id=f"{page}: {line[:60]}")


@pytest.mark.parametrize("words", commands())
def test_commands(words):
    program, *arguments = words
    if program == "make":
        targets = re.findall(
            r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M
        )
        assert {a for a in arguments if "=" not in a} <= set(targets)
    elif program.endswith("python") and arguments[0] == "-m":
        assert importlib.util.find_spec(arguments[1])
    elif program.endswith("python") and arguments[0].endswith(".py"):
        assert arguments[0] in written() or (ROOT / arguments[0]).is_file()
    elif program == "keras-aqe":
        cli.build_parser().parse_args(arguments)
    for extras in re.findall(r"(?:\.|keras-aqe)\[(.*?)\]", " ".join(arguments)):
        config = configparser.ConfigParser()
        config.read(ROOT / "setup.cfg")
        assert set(extras.split(",")) <= set(config["options.extras_require"])


@pytest.mark.parametrize("page", PAGES)
def test_names(page):
    """Names of the package in the text, as `aqe.layers.QuantConv2D`."""
    for name in re.findall(r"`(?:keras_)?(aqe[\w.]*|\w+\.\w+)", PAGES[page]):
        first, *rest = name.rstrip(".").split(".")
        item = NAMES.get(first)
        for part in rest if item is not None else ():
            if not hasattr(item, part) and hasattr(item, "__path__"):
                # A subpackage that nothing has imported yet.
                importlib.import_module(f"{item.__name__}.{part}")
            assert hasattr(item, part), name
            item = getattr(item, part)


def test_the_table_of_quantizers():
    rows = re.findall(
        r'^\| `"(\w+)"` \| `(\w+)(?:\(.*?\))?` \| (\d+) \| (.*?) \| (\d+) \|',
        PAGES["docs/quantizers.md"],
        re.MULTILINE,
    )
    assert len(rows) > 5
    classes = {name for name in dir(aqe.quantizers) if name[0].isupper()}
    classes -= {"Any", "Callable", "Identifier", "Quantizer"}
    assert {row[1] for row in rows} == classes
    for name, kind, bits, levels, number in rows:
        quantizer = aqe.quantizers.get(name)
        assert type(quantizer).__name__ == kind
        assert quantizer.bits == int(bits)
        assert len(quantizer.levels) == int(number)
        shown = [
            sign * eval(level.strip().removeprefix("±"))
            for level in levels.split(",")
            if re.fullmatch(r"[±\-\d/]+", level.strip())
            for sign in ((1, -1) if "±" in level else (1,))
        ]
        assert np.isin(shown, quantizer.levels).all()
        if "..." not in levels and shown:
            assert len(shown) == len(quantizer.levels)
