import keras
from rich.table import Table

from keras_aqe import layers, summary, tables


def test_text_is_shown_as_it_is():
    table = Table("[i]head[/]", title="[b]title")
    for text in ("conv[b]", ":smile:", "\x1b[31m", "[/x]"):
        table.add_row(text)
    shown = tables.render(table, 40)
    for text in ("[i]head[/]", "[b]title", "conv[b]", ":smile:", "[/x]"):
        assert text in shown
    assert r"\x1b[31m" in shown and "\x1b" not in shown


def test_summary_shows_names_as_they_are():
    inputs = keras.Input((4,))
    dense = layers.QuantDense(2, kernel_quantizer="binary", name="dense[b]")
    model = keras.Model(inputs, dense(inputs), name="net[i]")
    printed = []
    summary(model, print_fn=printed.append)
    assert "dense[b]" in printed[0] and "Model: net[i]" in printed[0]
