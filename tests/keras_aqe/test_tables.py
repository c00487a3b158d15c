import keras
import pytest
from rich.table import Table

from keras_aqe import layers, summary, tables


def test_text_is_shown_as_it_is():
    table = Table("[i]head[/]", title="[b]title")
    for text in ("conv[b]", ":smile:", "\x1b[31m", "[/x]"):
        table.add_row(text)
    shown = tables.render(table)
    for text in ("[i]head[/]", "[b]title", "conv[b]", ":smile:", "[/x]"):
        assert text in shown
    assert r"\x1b[31m" in shown and "\x1b" not in shown


def test_no_name_is_cut():
    table = Table("layer", "note")
    names = ["block_" * 40, "MAX_POOL_2D" * 20]
    table.add_row(*names)
    assert all(f" {name} " in tables.render(table) for name in names)


def test_summary_shows_names_as_they_are():
    inputs = keras.Input((4,))
    dense = layers.QuantDense(2, kernel_quantizer="binary", name="dense[b]")
    model = keras.Model(inputs, dense(inputs), name="net[i]")
    printed = []
    summary(model, print_fn=printed.append)
    assert "dense[b]" in printed[0] and "Model: net[i]" in printed[0]


def test_html_has_every_cell_and_no_markup_of_a_name():
    table = Table(title="a<b", caption="c&d")
    table.add_column("name<i>")
    table.add_column("n", justify="right")
    table.add_row("<script>\x1b[31m", "1")
    table.add_row("x", "2")
    shown = tables.html(table)
    assert shown.count("<tr>") == 3 and shown.count("<td") == 4
    assert "<script>" not in shown and "&lt;script&gt;" in shown
    assert "\x1b" not in shown and "a&lt;b" in shown and "c&amp;d" in shown
    assert shown.count("text-align: right") == 3


@pytest.mark.parametrize(
    "number, text",
    [
        (0, "0"),
        (999_999, "999,999"),
        (1_000_000, "1M"),
        (151_040_000, "151M"),
        (2 * 10**9, "2G"),
        (1_234_567_890_123, "1.235T"),
    ],
)
def test_counts_have_four_digits(number, text):
    assert tables.count(number) == text
