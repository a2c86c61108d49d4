"""What is printed on a terminal is made of: sentences, commands, tables.

Sentences are wrapped. Commands are never broken, so that they can be copied. A table that is too
wide loses columns at its end, never a digit, and says which.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from node_diag.outputs.foreign import plain
from node_diag.outputs.table import Table

GAP = 2
"""Blanks between columns."""


def say(text: Text | str, console: Console, indent: int = 0) -> None:
    """Wrapped to the width, without the trailing blanks that rich leaves in a pipe."""
    text = Text(plain(text)) if isinstance(text, str) else text
    for line in text.wrap(console, max(console.width - indent, 1)):
        line.rstrip()
        _line(Text(" " * indent).append_text(line), console)


def show_command(command: str, console: Console) -> None:
    """On a line of its own."""
    _line(Text(f"  {plain(command)}"), console)


def fitting(table: Table, width: int, always: int = 1) -> int:
    """How many columns fit into ``width`` characters with every digit; ``always`` at the least."""
    shown = len(table.columns)
    while shown > always and _width(table, shown) > width:
        shown -= 1
    return shown


def show_table(
    table: Table, console: Console, always: int = 1, styles: Sequence[Sequence[str]] = ()
) -> None:
    """Print the columns that fit.

    Args:
        table: texts.
        console: where.
        always: columns that are printed however narrow it is.
        styles: of the cells, by row and column.
    """
    shown = fitting(table, console.width, always)
    grid = Grid(
        box=None, padding=(0, GAP, 0, 0), pad_edge=False, collapse_padding=True, header_style="bold"
    )
    for i, heading in enumerate(table.columns[:shown]):
        grid.add_column(heading, justify="left" if i in table.words else "right", no_wrap=True)
    for i, row in enumerate(table.rows):
        chosen = styles[i] if styles else [""] * shown
        cells = zip(row[:shown], chosen, strict=False)
        grid.add_row(*(Text(text, style) for text, style in cells))
    if (needed := _width(table, shown)) > console.width:
        # Left to the terminal to wrap: it must not lose a digit.
        grid.width = needed
    console.print(grid, crop=False, no_wrap=True, overflow="ignore")


def show_left_out(table: Table, console: Console, always: int = 1) -> None:
    """Which columns :func:`show_table` leaves out."""
    if left_out := table.columns[fitting(table, console.width, always) :]:
        say(Text(f"Not shown at this width: {', '.join(left_out)}.", "dim"), console)


def _width(table: Table, shown: int) -> int:
    rows = [table.columns, *table.rows]
    return sum(max(cell_len(row[i]) for row in rows) for i in range(shown)) + GAP * (shown - 1)


def _line(text: Text, console: Console) -> None:
    console.print(text, no_wrap=True, overflow="ignore", crop=False)
