"""Tables as text, whatever names stand in them."""

from rich.console import Console


def render(table, width):
    """A rich table as text.

    Names of layers are shown as they are: rich would read `conv[b]` as
    markup and `:b:` as a picture. What does not print is shown as its escape
    sequence, since names may come from a file and terminals obey it.

    Args:
        table: A `rich.table.Table`.
        width: Characters in a line.
    """
    console = Console(width=width, color_system=None, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(table)
    return "".join(
        character
        if character.isprintable() or character == "\n"
        else character.encode("unicode_escape").decode()
        for character in capture.get()
    )
