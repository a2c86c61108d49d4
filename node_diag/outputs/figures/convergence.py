"""How the gradient error falls with the tolerance, for every solver that was tried."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from node_diag.outputs import recommendation
from node_diag.outputs.figures.canvas import Handle, blank, decades, label, place
from node_diag.outputs.figures.plot import Plot
from node_diag.outputs.figures.style import INK, MUTED, looks
from node_diag.outputs.numbers import limit, scientific
from node_diag.outputs.table import Table
from node_diag.records import Candidate, Report

_HEIGHT = 2.7


def select(report: Report) -> dict[str, list[Candidate]]:
    """Candidates with a finite error by solver, the cheapest first."""
    found: dict[str, list[Candidate]] = {}
    for c in report.recommendation.candidates if report.recommendation else []:
        if c.error is not None and 0 < c.error < math.inf and c.nfe:
            name = c.solver if c.control == "state" else f"{c.solver}, sensitivities controlled"
            found.setdefault(name, []).append(c)
    return {name: sorted(many, key=lambda c: c.nfe or 0) for name, many in found.items()}


def draw(report: Report) -> Figure:
    """Error against evaluations of f, a line per solver, with the target."""
    assert report.recommendation is not None  # absent() said so
    curves = select(report)
    styles = looks(list(curves))
    entries: list[tuple[Handle, str]] = [
        (Line2D([], [], color=styles[n].colour, ls=styles[n].dash, marker=styles[n].marker), n)
        for n in curves
    ]
    entries.append((Line2D([], [], color=MUTED, ls=":"), "target"))
    notes = [f"Every point is a run of {report.recommendation.method} at another tolerance."]
    figure, top = blank("Gradient error against work", entries, _HEIGHT + 0.75, notes)
    axes = place(figure, 0.95, top + 0.15, _HEIGHT)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for name, many in curves.items():
        look = styles[name]
        axes.plot(
            [c.nfe or 0 for c in many],
            [c.error or math.nan for c in many],
            color=look.colour, ls=look.dash, marker=look.marker, label=name,
        )  # fmt: skip
    axes.axhline(report.recommendation.target, color=MUTED, ls=":", lw=1.2)
    if report.recommendation.best is not None:
        best = report.recommendation.candidates[report.recommendation.best]
        if best.nfe and best.error:
            axes.plot([best.nfe], [best.error], "o", mfc="none", mec=INK, ms=13, mew=1.4)
    low = min(c.nfe or 1 for many in curves.values() for c in many)
    high = max(c.nfe or 1 for many in curves.values() for c in many)
    axes.set_xlim(10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high + 1)))
    decades(axes.xaxis)
    decades(axes.yaxis)
    label(axes, "evaluations of f, forward and backward", "relative error", left=0.65)
    return figure


def absent(report: Report) -> str:
    """Why there is no such figure."""
    if report.recommendation is None:
        return "There is no continuous truth, or it is zero, so settings cannot be compared."
    return "" if select(report) else "No setting that was tried gave a finite, visible error."


def describe(report: Report) -> str:
    """The range of every curve, in words."""
    parts = [
        f"{name} {scientific(many[0].error)} with {many[0].nfe} evaluations"
        if len(many) == 1
        else f"{name} from {scientific(many[0].error)} with {many[0].nfe} evaluations to "
        f"{scientific(many[-1].error)} with {many[-1].nfe}"
        for name, many in select(report).items()
    ]
    target = limit(report.recommendation.target) if report.recommendation else ""
    return f"Gradient error against evaluations of f, target {target}: {'; '.join(parts)}."


def table(report: Report) -> Table:
    """All settings that were tried."""
    assert report.recommendation is not None  # absent() said so
    return recommendation.table(report.recommendation)


PLOT = Plot("convergence", "Gradient error against work", absent, draw, describe, table)
