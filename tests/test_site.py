"""The site builds without a warning, with every public name on it."""

import pathlib
import re
import subprocess
import sys

import pytest

from tests.test_public_api import API

ROOT = pathlib.Path(__file__).parents[1]

pytestmark = pytest.mark.program


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [
            *("make", "docs", "--old-file=.venv/installed"),
            f"MKDOCS={sys.executable} -m mkdocs",
            f"ARGS=--site-dir {folder}",
        ],
        cwd=ROOT,
        check=True,
    )
    return folder


def test_every_public_name_is_in_the_reference(site):
    pages = (page.read_text() for page in site.glob("api/**/*.html"))
    found = {
        name
        for page in pages
        for name in re.findall(r'id="(keras_aqe[\w.]*)"', page)
    }
    missing = {
        name
        for name, item in API.items()
        if not found
        & {
            name,
            f"{item.__module__}.{item.__qualname__}",
            # What keras_aqe takes from keras_aqe_runtime has its name there.
            f"{item.__module__.partition('.')[0]}.{item.__qualname__}",
        }
    }
    assert not missing


def test_every_page_can_be_reached(site):
    home = (site / "index.html").read_text()
    pages = {
        str(page.relative_to(site))
        for page in site.glob("**/*.html")
        if "results/" not in str(page.relative_to(site))
    }
    linked = set(re.findall(r'href="([\w./]+)"', home))
    assert pages - {"404.html"} <= linked


def test_pages_work_from_the_folder(site):
    """Without a server and, but for two scripts, without a network."""
    brought = "javascripts/(mermaid.min|iframe-worker).js"
    for page in site.glob("**/*.html"):
        if page.name == "404.html":
            continue
        text = page.read_text()
        links = re.findall(r'(?:src|<link [^>]*href)="([^"]+)"', text)
        for link in links:
            assert not link.startswith(("http", "//", "/")), (page, link)
            if not re.search(brought, link):
                assert (page.parent / link.split("?")[0]).is_file(), link
    assert (site / "search" / "search_index.js").is_file()
