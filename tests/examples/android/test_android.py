"""The Android project as text: that its parts fit each other."""

import re
import tomllib
import xml.etree.ElementTree as ElementTree

import pytest

from tests.runtime.android import ABIS, API, PROJECT

NAMESPACE = "{http://schemas.android.com/apk/res/android}"
# What was built here, or is made on the way, is not the project's.
FILES = [
    path
    for path in sorted(PROJECT.rglob("*"))
    if path.is_file()
    and not {"build", ".gradle", ".cxx", ".idea"} & set(path.parts)
    and path.suffix not in (".tflite", ".jar")
]
RESOURCES = PROJECT / "app" / "src" / "main" / "res"


def files(suffix, folder="."):
    root = PROJECT / folder
    return [
        path
        for path in FILES
        if path.name.endswith(suffix) and path.is_relative_to(root)
    ]


def text(suffix, folder="."):
    return "\n".join(path.read_text() for path in files(suffix, folder))


@pytest.fixture(scope="module")
def catalogue():
    return tomllib.loads(
        (PROJECT / "gradle" / "libs.versions.toml").read_text()
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_are_text(path):
    assert "\0" not in path.read_text()


@pytest.mark.parametrize("path", files(".xml"), ids=lambda path: path.name)
def test_xml_is_well_formed(path):
    ElementTree.parse(path)


def test_versions_of_the_catalogue_are_there_and_used(catalogue):
    entries = [*catalogue["libraries"].values(), *catalogue["plugins"].values()]
    used = {entry["version"]["ref"] for entry in entries}
    used |= {
        name.replace(".", "-")
        for name in re.findall(r"libs\.versions\.([\w.]+?)\.get", text(".kts"))
    }
    assert used == set(catalogue["versions"])


def test_gradle_uses_what_the_catalogue_has(catalogue):
    used = set(re.findall(r"\(libs\.([\w.]+)\)", text(".kts")))
    names = {name.replace("-", ".") for name in catalogue["libraries"]}
    names |= {
        "plugins." + name.replace("-", ".") for name in catalogue["plugins"]
    }
    assert used == names


def test_modules_are_there():
    settings = (PROJECT / "settings.gradle.kts").read_text()
    modules = re.findall(r'":(\w+)"', settings)
    assert modules
    for module in modules:
        build = (PROJECT / module / "build.gradle.kts").read_text()
        assert (PROJECT / module / "src/main/AndroidManifest.xml").exists()
        (namespace,) = re.findall(r'namespace = "(.+)"', build)
        for path in files(".kt", module):
            assert path.parent.parts[-len(namespace.split(".")) :] == tuple(
                namespace.split(".")
            )
            assert path.read_text().startswith(f"package {namespace}\n")


def test_files_that_gradle_and_cmake_name_are_there():
    for module in ("aqe", "app"):
        build = (PROJECT / module / "build.gradle.kts").read_text()
        for name in re.findall(r'(?:file|from|Files)\("([^"$]+)"\)', build):
            assert (PROJECT / module / name).exists(), name
    cpp = PROJECT / "aqe" / "src" / "main" / "cpp"
    (repository,) = re.findall(
        r"set\(repository \$\{CMAKE_CURRENT_SOURCE_DIR\}/(.+)\)",
        (cpp / "CMakeLists.txt").read_text(),
    )
    assert (cpp / repository / "runtime" / "CMakeLists.txt").exists()


def test_what_is_built_is_what_is_tested(catalogue):
    assert catalogue["versions"]["min-sdk"] == str(API)
    for module in ("aqe", "app"):
        build = (PROJECT / module / "build.gradle.kts").read_text()
        (abis,) = re.findall(r"abiFilters \+= listOf\((.*)\)", build)
        assert set(re.findall(r'"(.*?)"', abis)) == set(ABIS)


def test_native_functions_are_those_that_kotlin_declares():
    declared = {
        f"Java_org_kerasaqe_{path.stem}_{name}"
        for path in files(".kt", "aqe")
        for name in re.findall(r"external fun (\w+)", path.read_text())
    }
    defined = re.findall(r"\bJava_\w+", text(".c", "aqe"))
    assert declared == set(defined) and len(defined) == len(declared)


def test_activities_are_classes():
    root = ElementTree.parse(PROJECT / "app/src/main/AndroidManifest.xml")
    names = [a.get(NAMESPACE + "name") for a in root.iter("activity")]
    classes = re.findall(r"class (\w+) : ComponentActivity", text(".kt", "app"))
    assert sorted(names) == sorted(f".{name}" for name in classes)


def resources():
    """Kind and name of each, as R has them."""
    for path in RESOURCES.rglob("*.xml"):
        tree = ElementTree.parse(path)
        if path.parent.name == "values":
            for item in tree.getroot():
                yield item.tag, item.get("name").replace(".", "_")
            continue
        yield path.parent.name, path.stem
        for item in tree.iter():
            name = item.get(NAMESPACE + "id")
            if name is not None:
                yield "id", name.removeprefix("@+id/")


def test_resources_are_there_and_used():
    kinds = "drawable|id|layout|string|style"
    used = set(re.findall(rf"\bR\.({kinds})\.(\w+)", text(".kt", "app")))
    xml = text(".xml", "app")
    used |= {
        (kind, name.replace(".", "_"))
        for kind, name in re.findall(rf'"@({kinds})/([\w.]+)"', xml)
    }
    assert used == set(resources())


def test_strings_get_the_values_they_have_places_for():
    root = ElementTree.parse(RESOURCES / "values" / "strings.xml")
    places = {
        item.get("name"): len(set(re.findall(r"%(\d)\$", item.text)))
        for item in root.iter("string")
    }
    calls = re.findall(
        r"getString\(\s*R\.string\.(\w+)((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)",
        text(".kt", "app"),
    )
    assert calls
    for name, rest in calls:
        flat = re.sub(r"\[[^\]]*\]|\([^()]*\)", "", rest).strip().rstrip(",")
        assert flat.count(",") == places[name], name
    formatted = {name for name, _ in calls}
    assert formatted == {name for name, count in places.items() if count}
