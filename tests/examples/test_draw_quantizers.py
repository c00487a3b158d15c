"""The pictures of the page on quantizers are those that are drawn now."""

import pathlib
import re

import pytest

from examples import draw_quantizers

PICTURES = pathlib.Path(__file__).parents[2] / "docs" / "pictures"

matplotlib = pytest.importorskip("matplotlib")


@pytest.mark.slow
def test_the_page_shows_what_is_drawn(tmp_path):
    matplotlib.use("Agg")
    draw_quantizers.draw(tmp_path)
    drawn = {path.name for path in tmp_path.iterdir()}
    page = (PICTURES.parent / "quantizers.md").read_text()
    assert set(re.findall(r"\(pictures/(\w+\.svg)\)", page)) == drawn
    for name in drawn:
        kept = (PICTURES / name).read_text()
        # Others place labels differently.
        if f"Matplotlib v{matplotlib.__version__}," in kept:
            assert (tmp_path / name).read_text() == kept
