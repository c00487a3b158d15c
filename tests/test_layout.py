"""Tests lie where their modules do (CONTRIBUTING.md, "Rules")."""

import ast
import pathlib

import pytest

TESTS = pathlib.Path(__file__).parent
ROOT = TESTS.parent
# Folders whose modules have tests by the rule.
PYTHON = ("converters", "distribution", "examples", "keras_aqe", "runtime")
# Folders whose modules are tested alike, by a table of all that they define.
ALIKE = (
    "keras_aqe/cli",
    "keras_aqe/layers",
    "keras_aqe/models",
    "keras_aqe/quantizers",
)
SOURCES = (".cc", ".h", ".py")


def modules(folder):
    """Modules with something to test: a function or a class."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        body = ast.walk(ast.parse(path.read_text()))
        kinds = (ast.ClassDef, ast.FunctionDef)
        if path.name != "__init__.py" and any(
            isinstance(node, kinds) for node in body
        ):
            yield path.relative_to(ROOT)


def files_for(module):
    """The files that may hold the tests of a module."""
    folder, name = TESTS / module.parent, module.stem.strip("_")
    yield from (folder / f"test_{name}.py", *folder.glob(f"test_{name}_*.py"))
    if str(module.parent) in ALIKE:
        yield folder / f"test_{module.parent.name}.py"


def sources_of(test):
    """The modules and folders that the name of a test file may stand for."""
    place = test.parent.relative_to(TESTS)
    topic = test.stem.removeprefix("test_")
    sources = [
        path.stem.strip("_")
        for path in (ROOT / place).iterdir()
        if path.suffix in SOURCES
    ]
    for name in (place.name, *sources):
        if topic == name or topic.startswith(f"{name}_"):
            yield name


@pytest.mark.parametrize(
    "module", [m for folder in PYTHON for m in modules(folder)], ids=str
)
def test_a_module_has_its_test(module):
    assert any(
        path.exists() and "\ndef test_" in path.read_text()
        for path in files_for(module)
    )


@pytest.mark.parametrize(
    "test",
    [path for path in sorted(TESTS.rglob("test_*.py")) if path.parent != TESTS],
    ids=lambda path: str(path.relative_to(TESTS)),
)
def test_a_test_has_its_module(test):
    """Those beside this file are of the repository as a whole."""
    assert (ROOT / test.parent.relative_to(TESTS)).is_dir()
    assert list(sources_of(test))
