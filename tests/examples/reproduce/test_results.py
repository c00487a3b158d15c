"""The published figures are those of the committed lines."""

import pathlib
import re
import shutil

from examples.reproduce import __main__

DOCS = pathlib.Path(__file__).parents[3] / "docs"


def test_study_is_what_its_lines_say(tmp_path):
    shutil.copytree(DOCS / "results" / "study", tmp_path / "study")
    (tmp_path / "study" / "study.md").unlink()
    __main__.main(
        ["study", "--scale", "small", "--report"]
        + ["--output", str(tmp_path / "study")]
    )
    made = (tmp_path / "study" / "study.md").read_text()
    assert made == (DOCS / "results" / "study" / "study.md").read_text()

    results = (DOCS / "results.md").read_text()
    (section,) = re.findall(r"## Study.*?(?=\n## )", results, re.DOTALL)
    rows = re.findall(r"^\|.*\|$", section, re.MULTILINE)
    assert rows
    assert [row for row in rows if row not in made] == []
    for image in re.findall(r"\((results/.*?\.png)\)", section):
        assert (DOCS / image).exists()
