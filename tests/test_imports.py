"""Arrows between folders run one way, and private names stay at home."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
# Where packages lie, and what they are imported as.
FOLDERS = {
    "benchmarks": "benchmarks",
    "examples": "examples",
    "converters": "keras_aqe.converters",
    "keras_aqe": "keras_aqe",
    "runtime": "keras_aqe_runtime",
}
TARGETS = sorted(
    folder.name
    for folder in (ROOT / "converters" / "targets").iterdir()
    if (folder / "__init__.py").exists()
)
# What the folders of targets share: the modules beside them.
SHARED = sorted(
    path.stem
    for path in (ROOT / "converters" / "targets").glob("*.py")
    if path.stem != "__init__"
)
# What modules of a folder may import of the package beside that folder;
# "keras_aqe" stands for the modules that train.
MAY_IMPORT = {
    "keras_aqe.converters.file": ["keras_aqe_runtime.file"],
    "keras_aqe.converters.graph": ["keras_aqe", "keras_aqe.converters.errors"],
    "keras_aqe.runtime": ["keras_aqe_runtime"],
    "keras_aqe_runtime": [],
    "keras_aqe_runtime.file": ["keras_aqe_runtime.errors"],
    **{
        f"keras_aqe.converters.targets.{name}": [
            "keras_aqe",
            "keras_aqe.converters.errors",
            "keras_aqe.converters.file",
            "keras_aqe.converters.graph",
            # For engines and parsed files.
            "keras_aqe_runtime",
            *(f"keras_aqe.converters.targets.{module}" for module in SHARED),
        ]
        for name in TARGETS
    },
}
# The folders of C++ that those of a folder may include beside their own;
# headers of `include/` are what all have.
MAY_INCLUDE = {
    # Kernels are asked for by the table that `keras_aqe/kernel.h` declares.
    "": [],
    "include/keras_aqe": [],
    "reference": [],
    "kernels": [],
    "kernels/loops": [],
    # `kernels.h`, which names the kernels of all machines.
    "kernels/portable": ["kernels", "kernels/loops"],
    "kernels/x86": ["kernels", "kernels/loops"],
    "kernels/arm": ["kernels", "kernels/loops"],
}
# What knows of training, and training not of it.
ABOVE = (
    "keras_aqe.__main__",
    "keras_aqe.cli",
    "keras_aqe.converters",
    "keras_aqe.runtime",
    "keras_aqe_runtime",
    "benchmarks",
    "examples",
)
# What the face of the package has of it: a function that is imported when it is
# asked for, and the command line, which answers `--help` before all else.
OFFERED = (
    ("keras_aqe", "keras_aqe.converters.check", None),
    ("keras_aqe", "keras_aqe.cli", None),
)
# Private names of Keras and others that have no public counterpart.
FOREIGN = {
    "_call_has_training_arg",
    "_flatten_layers",
    "_functional",
    "_get_function",
    "_get_native_delegate_pointer",
    "_initial_epoch",
    "_inputs_struct",
    "_jax_state_synced",
    "_keras_history",
    "_nodes_by_depth",
    # Of notebooks.
    "_repr_html_",
    "_outputs_struct",
    "_run_through_graph",
}


def modules():
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            yield ".".join([package, *parts]).removesuffix(".__init__"), path


MODULES = dict(modules())


def imported(tree):
    """Pairs of a module of the package and a name taken from it, or `None`.

    A name that is a module itself counts as that module.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if name in MODULES:
                    yield name, None
                else:
                    yield node.module, alias.name


def own_imports(path):
    tree = ast.parse(path.read_text())
    return [
        (module, name)
        for module, name in imported(tree)
        if module.split(".")[0] in ("keras_aqe", "keras_aqe_runtime")
    ]


def is_in(module, package):
    return module == package or module.startswith(f"{package}.")


def trains(module):
    return not any(is_in(module, package) for package in ABOVE)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_arrows_run_one_way(package):
    allowed = [name for name in MAY_IMPORT[package] if name != "keras_aqe"]
    members = [name for name in MODULES if is_in(name, package)]
    assert members
    for member in members:
        for module, _ in own_imports(MODULES[member]):
            assert (
                any(is_in(module, name) for name in [package, *allowed])
                or trains(module)
                and "keras_aqe" in MAY_IMPORT[package]
            ), f"{member} imports {module}"


def test_training_knows_neither_converters_nor_runtime():
    for member in filter(trains, MODULES):
        for module, name in own_imports(MODULES[member]):
            assert trains(module) or (member, module, name) in OFFERED, (
                f"{member} imports {module}"
            )


def test_what_is_above_targets_asks_their_table():
    """So that a new target is a folder and an entry."""
    package = "keras_aqe.converters.targets"
    folders = [f"{package}.{name}" for name in TARGETS]
    for member, path in MODULES.items():
        if not is_in(member, "keras_aqe"):
            continue
        if member != package and not any(is_in(member, f) for f in folders):
            for module, _ in own_imports(path):
                assert not any(is_in(module, folder) for folder in folders), (
                    f"{member} imports {module}"
                )


def test_includes_run_one_way():
    runtime = ROOT / "runtime"
    for path in (*runtime.rglob("*.cc"), *runtime.rglob("*.h")):
        folder = path.parent.relative_to(runtime).as_posix().strip(".")
        allowed = [folder, "keras_aqe", *MAY_INCLUDE[folder]]
        for header in re.findall('#include "(.*)"', path.read_text()):
            known = pathlib.PurePath(header).parent.as_posix().strip(".")
            assert known in allowed, f"{path} includes {header}"


@pytest.mark.slow
@pytest.mark.parametrize("member", MODULES)
def test_private_names_stay_in_their_module(member):
    tree = ast.parse(MODULES[member].read_text())
    for module, name in own_imports(MODULES[member]):
        assert not any(map(is_private, [*module.split("."), name or ""])), (
            f"{member} imports {name} of {module}"
        )
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            assert node.attr in FOREIGN or is_self(node.value), (
                f"{member} uses {ast.unparse(node)}"
            )


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def is_self(node):
    """Whether an expression is the object whose class the code is of."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "super"
    return isinstance(node, ast.Name) and node.id in ("self", "cls")
