"""Size of every accepted and rejected step of the forward solve, over time."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from node_diag.outputs.figures.canvas import Handle, blank, decades, label, place
from node_diag.outputs.figures.curves import MOST_POINTS, time_span
from node_diag.outputs.figures.plot import Plot
from node_diag.outputs.figures.style import SERIES_COLOURS
from node_diag.outputs.numbers import count, general, scientific
from node_diag.outputs.table import Table, stride, thinned
from node_diag.records import Report

_HEIGHT = 2.7
_ACCEPTED, _REJECTED = SERIES_COLOURS[0], SERIES_COLOURS[1]


def trials(report: Report, *, accepted: bool) -> list[tuple[float, float]]:
    """(t, |h|) of the accepted or rejected trials."""
    steps = report.series.steps
    rows = zip(steps.t, steps.h, steps.accepted, strict=True)
    return [(t, abs(h)) for t, h, ok in rows if ok == accepted]


def draw(report: Report) -> Figure:
    """Accepted steps as a line with dots, rejected ones as crosses."""
    kept, refused = trials(report, accepted=True), trials(report, accepted=False)
    entries: list[tuple[Handle, str]] = [
        (_line(_ACCEPTED, "o", "solid"), f"accepted ({count(len(kept))})"),
        (_line(_REJECTED, "x", "none"), f"rejected ({count(len(refused))})"),
    ]
    k = stride(max(len(kept), len(refused)), MOST_POINTS)
    notes = [f"Every {k}th trial of each kind is drawn."] if k > 1 else []
    figure, top = blank("Steps of the forward solve", entries, _HEIGHT + 0.7, notes)
    axes = place(figure, 0.95, top + 0.1, _HEIGHT)
    axes.set_yscale("log")
    for name, points, colour, marker, ls, width in (
        ("accepted", kept[::k], _ACCEPTED, "o", "solid", 1.0),
        ("rejected", refused[::k], _REJECTED, "x", "none", 0.0),
    ):
        size = 4.0 if marker == "o" else 6.0
        t, h = [p[0] for p in points], [p[1] for p in points]
        axes.plot(
            t,
            h,
            color=colour,
            marker=marker,
            ms=size,
            ls=ls,
            lw=width,
            mew=1.4,
            label=name,
            clip_on=False,
        )
    axes.set_xlim(*time_span(report))
    axes.set_ylim(*limits([h for _, h in (*kept, *refused)]))
    decades(axes.yaxis)
    label(axes, "t", "step size |h|", left=0.65)
    return figure


def _line(colour: str, marker: str, ls: str) -> Line2D:
    return Line2D([], [], color=colour, marker=marker, ls=ls, lw=1, ms=5, mew=1.4)


def limits(sizes: list[float]) -> tuple[float, float]:
    """A little more than the sizes, and at least from one power of ten to the next."""
    found = [h for h in sizes if 0 < h < math.inf] or [1.0]
    low, high = math.log10(min(found)), math.log10(max(found))
    room = 0.08 * (high - low)
    return 10.0 ** min(low - room, math.floor(low)), 10.0 ** max(high + room, math.floor(high) + 1)


def absent(report: Report) -> str:
    """Why there are no steps."""
    return "" if report.series.steps.t else "The steps were not recorded."


def describe(report: Report) -> str:
    """Counts and range of the sizes, in words."""
    kept, refused = trials(report, accepted=True), trials(report, accepted=False)
    sizes = [h for _, h in kept] or [math.nan]
    return (
        f"Step size over time, logarithmic axis: {count(len(kept))} accepted steps between "
        f"{scientific(min(sizes))} and {scientific(max(sizes))}, "
        f"{count(len(refused))} rejected trial{'' if len(refused) == 1 else 's'}."
    )


def table(report: Report) -> Table:
    """Every trial."""
    steps = report.series.steps
    rows = [
        (general(t), scientific(h), "accepted" if ok else "rejected")
        for t, h, ok in zip(steps.t, steps.h, steps.accepted, strict=True)
    ]
    columns = ("start t", "step size h", "outcome")
    return thinned(Table("Trials of the forward solve", columns, rows, frozenset({2})))


PLOT = Plot("steps", "Steps of the forward solve", absent, draw, describe, table)
