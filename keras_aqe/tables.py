"""Tables as text and as HTML, whatever names stand in them."""

import html as html_

from rich.console import Console

# Characters, more than any table has.
_WIDEST = 10_000


def render(table):
    """A rich table as text, as wide as it is: a name that is cut is no name.

    Names of layers are shown as they are: rich would read `conv[b]` as
    markup and `:b:` as a picture. What does not print is shown as its escape
    sequence, since names may come from a file and terminals obey it.

    Args:
        table: A `rich.table.Table`.
    """
    console = Console(
        width=_WIDEST, color_system=None, markup=False, emoji=False
    )
    with console.capture() as capture:
        console.print(table)
    return _printable(capture.get())


def html(table):
    """A rich table as HTML, for notebooks.

    Args:
        table: A `rich.table.Table` of texts.
    """
    parts = []
    if table.title:
        parts.append(f"<p><b>{text_html(table.title)}</b></p>")
    heads = "".join(_cell("th", c, c.header) for c in table.columns)
    parts.append(f"<table><thead><tr>{heads}</tr></thead><tbody>")
    for row in zip(*(column.cells for column in table.columns)):
        cells = zip(table.columns, row)
        parts.append(f"<tr>{''.join(_cell('td', *cell) for cell in cells)}")
        parts.append("</tr>")
    parts.append("</tbody></table>")
    if table.caption:
        parts.append(f"<p>{text_html(table.caption)}</p>")
    return "".join(parts)


def text_html(text):
    """A text as HTML, whatever stands in it."""
    return html_.escape(_printable(str(text))).replace("\n", "<br>")


def count(number):
    """A large number in four digits: `151M`.

    Args:
        number: A number of at least 0.
    """
    for factor, name in ((10**12, "T"), (10**9, "G"), (10**6, "M")):
        if number >= factor:
            return f"{number / factor:.4g}{name}"
    return f"{number:,}"


def running(row):
    """What runs a row and what that does: `conv_2d_rows_avx512 (int8)`.

    Args:
        row: One of `keras_aqe.check` or `keras_aqe.summary`.
    """
    return f"{row.kernel} ({row.arithmetic})" if row.kernel else ""


def _cell(tag, column, text):
    return (
        f'<{tag} style="text-align: {column.justify}">{text_html(text)}</{tag}>'
    )


def _printable(text):
    return "".join(
        character
        if character.isprintable() or character == "\n"
        else character.encode("unicode_escape").decode()
        for character in text
    )
