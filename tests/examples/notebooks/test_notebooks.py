"""The notebooks run to their end, on few images and epochs."""

import pathlib
import re

import pytest
import tensorflow as tf

FOLDER = pathlib.Path(__file__).parents[3] / "examples" / "notebooks"
# What stands in place of their parameters: enough steps to end at alpha = 1.
TINY = {"EPOCHS": "4", "FLOAT_EPOCHS": "1", "WIDTH": "0.35"}

datasets = pytest.importorskip("sklearn.datasets")


@pytest.fixture
def few_digits(monkeypatch):
    whole = datasets.load_digits()
    few = type(whole)(images=whole.images[:80], target=whole.target[:80])
    monkeypatch.setattr(datasets, "load_digits", lambda: few)
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def cells(path):
    """The code of each cell of a script in jupytext's percent format."""
    parts = re.split(r"^# %%(.*)\n", path.read_text(), flags=re.MULTILINE)
    for kind, body in zip(parts[1::2], parts[2::2]):
        if "[markdown]" in kind:
            assert all(
                line.startswith("#") for line in body.split("\n") if line
            )
        else:
            yield kind, body


def tiny(parameters):
    """A cell of parameters with small values for those that have them."""
    for name, value in re.findall(r"^(\w+) = (.*)$", parameters, re.MULTILINE):
        yield f"{name} = {TINY.get(name, value)}"


@pytest.mark.program
@pytest.mark.parametrize(
    "path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem
)
def test_runs_to_its_end(path, few_digits, few_layers, monkeypatch, tmp_path):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    monkeypatch.chdir(tmp_path)
    names = {}
    for kind, body in cells(path):
        if "parameters" in kind:
            body = "\n".join(tiny(body))
        exec(body, names)
    assert pyplot.get_fignums()
    pyplot.close("all")
