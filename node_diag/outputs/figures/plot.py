"""What a figure is to the outputs that show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from node_diag.outputs.table import Table
from node_diag.records import Report


@dataclass(frozen=True)
class Plot:
    """One figure of the report: how to draw it, and the same in words and numbers.

    Attributes:
        name: of the file, and of the ids in the page.
        title: what it shows.
        absent: why there is nothing to draw; empty if there is.
        draw: the figure.
        describe: what the figure shows, for those who cannot see it.
        table: the numbers in it.
    """

    name: str
    title: str
    absent: Callable[[Report], str]
    draw: Callable[[Report], Figure]
    describe: Callable[[Report], str]
    table: Callable[[Report], Table]
