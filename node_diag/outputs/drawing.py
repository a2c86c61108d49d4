"""Figures of a report, drawn once for all outputs that show them."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

from matplotlib.figure import Figure

from node_diag.outputs.figures import PLOTS, TRAINED
from node_diag.outputs.figures.style import sheet
from node_diag.outputs.table import Table
from node_diag.records import Report


@dataclass(frozen=True)
class Drawing:
    """A figure and what it says.

    Attributes:
        title: of the figure.
        absent: why there is no figure; empty if there is one.
    """

    title: str
    absent: str
    figure: Figure | None
    description: str
    table: Table | None


_last: list[tuple[weakref.ref[Report], dict[str, Drawing]]] = []


def drawings(report: Report) -> dict[str, Drawing]:
    """All figures of a report by name.

    Those of the last report are kept as long as it lives, since the PNGs and the page show the
    same ones and drawing takes a while. A report must not be changed between its outputs.
    """
    if not (_last and _last[0][0]() is report):
        _last[:] = [(weakref.ref(report), _draw_all(report))]
    return _last[0][1]


def _draw_all(report: Report) -> dict[str, Drawing]:
    found: dict[str, Drawing] = {}
    for plot in (*PLOTS, *(TRAINED if report.training else ())):
        absent = plot.absent(report)
        if absent:
            found[plot.name] = Drawing(plot.title, absent, None, "", None)
            continue
        with sheet():
            figure = plot.draw(report)
        found[plot.name] = Drawing(
            plot.title, "", figure, plot.describe(report), plot.table(report)
        )
    return found
