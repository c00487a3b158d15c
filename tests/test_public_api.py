"""The public API has type hints and docstrings in Keras style throughout."""

import ast
import builtins
import importlib
import inspect
import pathlib
import re
import textwrap
import types

import keras
import pytest

import keras_aqe

ROOT = pathlib.Path(__file__).parents[1]
# What Keras itself calls and documents.
OF_KERAS = {
    name
    for base in (
        keras.callbacks.Callback,
        keras.constraints.Constraint,
        keras.layers.Layer,
        keras.metrics.Metric,
    )
    for name in dir(base)
}


def public(module):
    """Yields the names and objects that a module and its modules offer."""
    for name in module.__all__:
        item = getattr(module, name)
        if isinstance(item, types.ModuleType):
            yield from public(item)
        else:
            yield f"{module.__name__}.{name}", item


API = {
    name: item
    for path in (
        *("keras_aqe", "keras_aqe.converters", "keras_aqe.runtime"),
        "keras_aqe_runtime",
    )
    for name, item in public(importlib.import_module(path))
}


def methods(item):
    """The functions and properties that a class of the package defines."""
    for base in inspect.getmro(item):
        if base.__module__.startswith("keras_aqe"):
            for name, value in vars(base).items():
                if isinstance(value, (classmethod, staticmethod)):
                    value = value.__func__
                if isinstance(value, property):
                    value = value.fget
                if inspect.isfunction(value):
                    yield name, value


def functions(name, item):
    """All that has a signature of its own, by name."""
    if not inspect.isclass(item):
        return {name: item}
    return {
        f"{name}.{method}": value
        for method, value in methods(item)
        if method == "__init__" or not method.startswith("_")
    }


FUNCTIONS = {
    name: function
    for path, item in API.items()
    for name, function in functions(path, item).items()
    # Of a dataclass it is made of its fields.
    if "__dataclass_fields__" not in vars(item) or "__init__" not in name
}


def sections(text):
    """The lines of each headed section of a docstring."""
    found, lines = {}, []
    for line in inspect.cleandoc(text or "").splitlines():
        if re.fullmatch(r"[A-Z][\w ]*:", line):
            lines = found.setdefault(line[:-1], [])
        elif line and not line.startswith(" "):
            lines = []
        else:
            lines.append(line)
    return found


def described(text):
    """The arguments that a docstring describes."""
    names = []
    for line in sections(text).get("Args", []):
        match = re.fullmatch(r"    ((?:\*{0,2}\w+(?:, )?)+):.*", line)
        if match:
            names += match[1].replace("*", "").split(", ")
    return names


def taken(function):
    parameters = inspect.signature(function).parameters.values()
    return [p for p in parameters if p.name not in ("self", "cls")]


def test_modules_say_what_they_offer():
    assert len(API) > 50
    policy = (ROOT / "docs" / "versioning.md").read_text()
    for name in keras_aqe.__all__:
        item = getattr(keras_aqe, name)
        if isinstance(item, types.ModuleType):
            assert set(item.__all__) <= set(dir(item))
            assert f"`{name}`" in policy


@pytest.mark.parametrize("name", API)
def test_docstrings(name):
    item = API[name]
    text = inspect.cleandoc(vars(item).get("__doc__") or item.__doc__)
    assert text.splitlines()[0].endswith((".", ":", ")"))
    if inspect.isclass(item) and issubclass(item, Exception):
        parameters = []
    else:
        parameters = taken(item)
    names = [p.name for p in parameters]
    listed = described(text)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
    assert [n for n in listed if n in names] == names or (
        # `*args` and `**kwargs` may be one entry.
        set(names) <= set(listed)
    ), f"{names} are taken, {listed} described"
    assert set(listed) <= set(names) or open_ended, listed
    assert ">>> " in text or "```python\n" in text, "no example"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_methods_are_documented(name):
    method = name.rsplit(".", 1)[1]
    if name in API or method == "__init__" or method in OF_KERAS:
        return
    function = FUNCTIONS[name]
    owner = API[name.rsplit(".", 1)[0]]
    text = inspect.getdoc(getattr(owner, method))
    assert text, "no docstring"
    assert described(text) == [p.name for p in taken(function)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_type_hints(name):
    function = FUNCTIONS[name]
    signature = inspect.signature(function)
    for parameter in taken(function):
        assert parameter.annotation is not parameter.empty, parameter
    assert signature.return_annotation is not signature.empty, "result"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_raised_is_documented(name):
    """As far as a function raises it itself."""
    function = inspect.unwrap(FUNCTIONS[name])
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    raised = {
        error(node.exc.func, function.__globals__)
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    } - {"NotImplementedError"}
    owner = name.rsplit(".", 1)[0]
    documented = "\n".join(
        "\n".join(sections(part).get("Raises", []))
        for part in (
            FUNCTIONS[name].__doc__,
            getattr(API.get(owner), "__doc__", ""),
        )
    )
    for kind in raised:
        assert f"    {kind}: " in documented, kind


def error(called, names):
    """The name that users have for the error of a class or a function."""
    made = eval(ast.unparse(called), dict(names), vars(builtins))
    if inspect.isfunction(made):
        made = inspect.signature(made).return_annotation
    known = [*API.values(), *vars(builtins).values()]
    return next(kind.__name__ for kind in made.__mro__ if kind in known)
