"""Where along the backward pass the error of a gradient arises."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from node_diag.outputs.figures.canvas import Handle, blank, label, place
from node_diag.outputs.figures.curves import method_names, time_span
from node_diag.outputs.figures.plot import Plot
from node_diag.outputs.figures.style import RULE, looks
from node_diag.outputs.foreign import shorten
from node_diag.outputs.numbers import general
from node_diag.outputs.table import Table, thinned
from node_diag.records import ErrorOrigin, Report

_HEIGHT = 2.3
_MARGIN = 0.02
_FARTHEST = 3.0
"""Shares beyond this are cut off: parts of the error cancel there."""


def select(report: Report) -> dict[str, ErrorOrigin]:
    """Methods whose error was followed."""
    return {m.name: m.error_origin for m in report.methods if m.error_origin is not None}


def draw(report: Report) -> Figure:
    """Share of the error that has arisen on the way from t1 down to t."""
    curves, styles = select(report), looks(method_names(report))
    entries: list[tuple[Handle, str]] = [
        (Line2D([], [], color=styles[n].colour, ls=styles[n].dash), shorten(n, 20)) for n in curves
    ]
    figure, top = blank("Where the gradient error arises", entries, _HEIGHT + 0.75)
    axes = place(figure, 0.95, top + 0.15, _HEIGHT)
    for name, origin in curves.items():
        axes.axvspan(origin.start, origin.end, color=RULE, lw=0)
        share = [100 * max(-_FARTHEST, min(_FARTHEST, s)) for s in origin.share]
        axes.plot(
            origin.t, share, color=styles[name].colour, ls=styles[name].dash,
            drawstyle="steps-post", label=name,
        )  # fmt: skip
    first, last = time_span(report)
    margin = _MARGIN * (last - first)  # the error often arises at t0, where the axis would hide it
    axes.set_xlim(first - margin, last + margin)
    label(axes, "t   (the backward pass runs from t1 to t0)", "share so far, %", left=0.65)
    return figure


def absent(report: Report) -> str:
    """Why there is no such figure."""
    if select(report):
        return ""
    return "No gradient is off by more than 1 % whose backward pass could be followed."


def describe(report: Report) -> str:
    """Where most of it arises, in words."""
    parts = [
        f"{min(o.most, 1):.0%} of the error of {shorten(name)} arises between "
        f"t = {general(o.start)} and {general(o.end)}"
        for name, o in select(report).items()
        if math.isfinite(o.most)
    ]
    return f"Share of the gradient error that has arisen between t1 and t: {'; '.join(parts)}."


def table(report: Report) -> Table:
    """Shares over time."""
    rows = [
        (name, general(t), f"{100 * share:.3g}")
        for name, origin in select(report).items()
        for t, share in zip(origin.t, origin.share, strict=True)
    ]
    columns = ("method", "t", "share so far, %")
    return thinned(Table("Share of the gradient error", columns, rows))


PLOT = Plot("error_origin", "Where the gradient error arises", absent, draw, describe, table)
