"""Figures of a report, drawn once for all outputs that show them."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from node_diag import parallel
from node_diag.outputs.figures import PLOTS, TRAINED, image
from node_diag.outputs.figures.plot import Plot
from node_diag.outputs.figures.style import sheet
from node_diag.outputs.table import Table
from node_diag.records import Report

Kind = Literal["svg", "png"]


@dataclass(frozen=True)
class Drawing:
    """A figure and what it says.

    Attributes:
        title: of the figure.
        absent: why there is no figure; empty if there is one.
        table: the numbers in it.
        svg: the figure as an element of a page; empty if it was not asked for.
        png: the same as a file.
    """

    title: str
    absent: str
    description: str
    table: Table | None
    svg: str = ""
    png: bytes = b""


_last: list[tuple[weakref.ref[Report], dict[str, Drawing]]] = []


def drawings(report: Report, kinds: Iterable[Kind]) -> dict[str, Drawing]:
    """All figures of a report by name, in each of these kinds.

    Those of the last report are kept as long as it lives, since the PNGs and the page show the
    same ones and drawing takes a while; so they are drawn on two cores. A report must not be
    changed between its outputs.
    """
    wanted = set(kinds)
    kept = _last[0][1] if _last and _last[0][0]() is report else {}
    if not (kept and all(_has(drawing, wanted) for drawing in kept.values())):
        plots = (*PLOTS, *(TRAINED if report.training else ()))
        tasks = {plot.name: partial(_drawn, plot, report, wanted) for plot in plots}
        pays = len(wanted) > 1
        kept = parallel.compute(tasks) if pays else {name: draw() for name, draw in tasks.items()}
        _last[:] = [(weakref.ref(report), kept)]
    return kept


def _has(drawing: Drawing, kinds: set[Kind]) -> bool:
    return bool(drawing.absent) or all(getattr(drawing, kind) for kind in kinds)


def _drawn(plot: Plot, report: Report, kinds: set[Kind]) -> Drawing:
    if absent := plot.absent(report):
        return Drawing(plot.title, absent, "", None)
    with sheet():
        figure, words = plot.draw(report), plot.describe(report)
        svg = image.svg(figure, plot.name, words) if "svg" in kinds else ""
        png = image.png(figure, words) if "png" in kinds else b""
    return Drawing(plot.title, "", words, plot.table(report), svg, png)
