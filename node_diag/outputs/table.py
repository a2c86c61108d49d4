"""A table of texts, the shape in which every output that is read by eye gets its numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

LONGEST = 200
"""Rows shown to people; the CSV files have them all."""


@dataclass(frozen=True)
class Table:
    """Rows of texts under a caption.

    Attributes:
        caption: what the rows are.
        columns: headings; the first column names the row.
        words: indices of columns that hold words; the others hold numbers, set flush right.
        note: what was left out, if anything.
    """

    caption: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    words: frozenset[int] = frozenset({0})
    note: str = ""

    def csv(self) -> bytes:
        """All rows under the headings."""
        buffer = io.StringIO(newline="")
        csv.writer(buffer, lineterminator="\n").writerows([self.columns, *self.rows])
        return buffer.getvalue().encode()


def stride(length: int, most: int) -> int:
    """The smallest k such that every k-th of ``length`` items are ``most`` at the most."""
    return max(1, -(-length // most))


def thinned(table: Table, most: int = LONGEST) -> Table:
    """The table with every k-th row, which its note says; unchanged if it is short enough."""
    k = stride(len(table.rows), most)
    if k == 1:
        return table
    note = f"Every {k}th of {len(table.rows):,} rows; the CSV files have them all."
    return Table(table.caption, table.columns, table.rows[::k], table.words, note)
