"""How the step of the frozen-grid differences was chosen: error estimates against the step."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from node_diag.outputs.figures.canvas import Handle, blank, decades, label, place
from node_diag.outputs.figures.plot import Plot
from node_diag.outputs.figures.style import INK, MUTED, SMALL, Look, looks
from node_diag.outputs.foreign import shorten
from node_diag.outputs.numbers import scientific
from node_diag.outputs.table import Table
from node_diag.records import ReferenceRecord, Report

_HEIGHT = 2.7
_PLAIN, _BETTER = looks(["central difference", "extrapolated"]).values()
_SMALLEST = 1e-300


def select(report: Report) -> dict[str, Any]:
    """The V-curve of the discrete reference; empty if there is none."""
    discrete = report.references.discrete
    return discrete.details.get("v_curve", {}) if isinstance(discrete, ReferenceRecord) else {}


def drawable(values: list[float | None]) -> list[float]:
    """Distances on a logarithmic axis: a gap where there is none, or exactly zero."""
    return [v if v is not None and _SMALLEST < v < math.inf else math.nan for v in values]


def draw(report: Report) -> Figure:
    """Distance from the chosen value: plain and extrapolated differences, round-off as measured."""
    curve = select(report)
    entries: list[tuple[Handle, str]] = [
        (_handle(_PLAIN), "central difference"),
        (_handle(_BETTER), "extrapolated"),
        (Line2D([], [], color=MUTED, ls=":"), "measured round-off"),
    ]
    title = f"Choice of the step: {shorten(curve['line'], 40)}"
    figure, top = blank(title, entries, _HEIGHT + 0.75, [])
    axes = place(figure, 0.95, top + 0.15, _HEIGHT)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for look, values in ((_PLAIN, curve["plain"]), (_BETTER, curve["extrapolated"])):
        axes.plot(
            curve["steps"],
            drawable(values),
            color=look.colour,
            ls=look.dash,
            marker=look.marker,
            ms=4,
        )
    axes.plot(curve["steps"], drawable(curve["round_off"]), color=MUTED, ls=":")
    axes.axvline(curve["chosen"], color=INK, lw=1)
    axes.text(
        curve["chosen"],
        1.0,
        " chosen",
        transform=axes.get_xaxis_transform(),
        size=SMALL,
        va="bottom",
    )
    if 0 < curve["bar"] < math.inf:
        axes.axhline(curve["bar"], color=INK, lw=1)
        axes.text(
            0.005, curve["bar"], "stated uncertainty", transform=axes.get_yaxis_transform(),
            size=SMALL, ha="left", va="bottom",
        )  # fmt: skip
    decades(axes.xaxis)
    decades(axes.yaxis)
    label(axes, "relative step", "distance from the value", left=0.65)
    return figure


def _handle(look: Look) -> Line2D:
    return Line2D([], [], color=look.colour, ls=look.dash, marker=look.marker, ms=4)


def absent(report: Report) -> str:
    """Why there is no such curve."""
    if select(report):
        return ""
    return "There is no discrete reference, so no step was chosen."


def describe(report: Report) -> str:
    """What was chosen, in words."""
    curve = select(report)
    return (
        f"Distance of finite differences along {curve['line']} from the value taken, against their "
        f"step: chosen {scientific(curve['chosen'])}, uncertainty {scientific(curve['bar'])}."
    )


def table(report: Report) -> Table:
    """The points."""
    curve = select(report)
    rows = [
        (scientific(step), *(scientific(value) for value in values))
        for step, *values in zip(
            curve["steps"], curve["plain"], curve["extrapolated"], curve["round_off"], strict=True
        )
    ]
    columns = ("relative step", "central difference", "extrapolated", "measured round-off")
    return Table(f"Distance from the value along {curve['line']}", columns, rows)


PLOT = Plot("step_choice", "Choice of the difference step", absent, draw, describe, table)
