"""docs/troubleshooting.md lists what the package says of errors."""

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = [
    *ROOT.glob("keras_aqe/**/*.py"),
    *ROOT.glob("converters/**/*.py"),
    *ROOT.glob("runtime/**/*.py"),
]
# Where built-in errors become "The file is damaged: ...".
DAMAGED = ("runtime/file/", "converters/targets/lce/checks.py")
BUILTIN = ("ValueError", "IndexError", "OSError")
# What differs from one message to the next.
HOLE = "…"


def template(node):
    """The text of an expression, with holes; empty if it has none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (getattr(part, "value", HOLE) for part in node.values)
        return "".join(p if isinstance(p, str) else HOLE for p in parts)
    if isinstance(node, ast.BinOp):
        return template(node.left) + template(node.right)
    return HOLE


def said(tree):
    """Names and templates of the errors that a module makes, and warnings."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = ast.unparse(node.func)
        if name.endswith("Error") or name == "warnings.warn":
            prefix = "The file is damaged: " * (name == "DamagedError")
            yield name, prefix + template(node.args[0])


def messages():
    """`{template: place}` of all that the package says."""
    found = {}
    for path in SOURCES:
        place = str(path.relative_to(ROOT))
        for name, text in said(ast.parse(path.read_text())):
            if place.startswith(DAMAGED) and name in BUILTIN:
                continue
            if name == "AttributeError":
                continue  # a name that is not there
            text = text.replace("`", "")
            # What hands on the message of another error is all holes.
            if len(text.replace(HOLE, "").strip()) > 12:
                found[text] = place
    return found


def listed():
    """The first cells of the page's tables of messages, as patterns."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    return re.findall(r"^\| `([^`]*)` \|", page, re.MULTILINE)


def fits(pattern, text):
    parts = (re.escape(part.strip()) for part in pattern.split(HOLE))
    return re.match(".*".join(parts), text)


def test_messages_are_listed():
    patterns = listed()
    missing = {
        text: place
        for text, place in messages().items()
        if not any(fits(pattern, text) for pattern in patterns)
    }
    assert not missing


def test_what_is_listed_is_said():
    native = " ".join(p.read_text() for p in ROOT.glob("runtime/*.cc"))
    texts = messages()
    for pattern in listed():
        if pattern.startswith("keras-aqe:"):
            last = pattern.removeprefix("keras-aqe:").strip(HOLE + ": ")
            assert last.split(HOLE)[0].strip() in native
        elif not pattern.startswith("Encountered unresolved"):  # LiteRT's
            assert any(fits(pattern, text) for text in texts), pattern
