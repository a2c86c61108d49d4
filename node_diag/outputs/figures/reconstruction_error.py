"""How far the reverse-time state is from the forward one, over time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from node_diag.outputs.figures.canvas import Handle, blank, decades, label, place
from node_diag.outputs.figures.curves import method_names, thin, time_span
from node_diag.outputs.figures.plot import Plot
from node_diag.outputs.figures.style import INK, MUTED, SMALL, looks
from node_diag.outputs.foreign import shorten
from node_diag.outputs.numbers import general, scientific
from node_diag.outputs.table import Table, thinned
from node_diag.outputs.verdict import listed
from node_diag.records import Report, Trajectory

_HEIGHT = 2.7
_LOST = 1.0
"""Linear growth ends where the trajectory is lost."""
_HEADROOM = 0.1
"""Decades above the largest error, so that no curve runs along the upper edge."""
_DEEPEST = 1e-17
"""Errors below round-off are not worth the decades they would take."""


def select(report: Report) -> dict[str, Trajectory]:
    """Reconstructions that are not the forward trajectory to the last digit, by method."""
    return {n: t for n, t in report.series.reconstruction.items() if t.t and any(t.error)}


def prediction(report: Report) -> tuple[list[float], list[float]] | None:
    """Times and errors that the contraction of the flow predicts, up to a lost trajectory."""
    stability = report.inspection.stability if report.inspection else None
    if stability is None:
        return None
    return stability.t, [min(e, _LOST) for e in stability.predicted_error]


def drawable(errors: Sequence[float]) -> list[float]:
    """Errors on a logarithmic axis: a gap for zeros, NaN and infinities."""
    return [e if 0 < e < math.inf else math.nan for e in errors]


def draw(report: Report) -> Figure:
    """One line per method that reconstructs; time runs from t0 to t1, the solve from t1 to t0."""
    curves = select(report)
    styles = looks(method_names(report))
    entries: list[tuple[Handle, str]] = [
        (Line2D([], [], color=styles[n].colour, ls=styles[n].dash), shorten(n, 20)) for n in curves
    ]
    if predicted := prediction(report):
        entries.append((Line2D([], [], color=MUTED, ls=":"), "predicted from the contraction"))
    title = "Error of the reconstructed state"
    figure, top = blank(title, entries, _HEIGHT + 0.75, _notes(report, curves))
    axes = place(figure, 0.95, top + 0.15, _HEIGHT)
    axes.set_yscale("log")
    for name, curve in curves.items():
        look = styles[name]
        x, y = thin(curve.t), thin(drawable(curve.error))
        axes.plot(x, y, color=look.colour, ls=look.dash, label=name)
    if predicted:
        x, y = thin(predicted[0]), thin(drawable(predicted[1]))
        axes.plot(x, y, color=MUTED, ls=":", lw=1.4, label="predicted")
    axes.set_xlim(*time_span(report))
    axes.set_ylim(*limits(curves))
    low, high = axes.get_ylim()
    if low < 1 < high:
        axes.axhline(1, color=INK, lw=1)
        axes.text(
            1.0,
            1,
            "100 %",
            transform=axes.get_yaxis_transform(),
            size=SMALL,
            ha="right",
            va="bottom",
        )
    decades(axes.yaxis)
    label(axes, "t   (the reverse solve runs from t1 to t0)", "relative error", left=0.65)
    return figure


def limits(curves: dict[str, Trajectory]) -> tuple[float, float]:
    """Powers of ten around all errors."""
    found = [e for c in curves.values() for e in drawable(c.error) if e > _DEEPEST] or [1e-3]
    low, high = math.floor(math.log10(min(found))), math.ceil(math.log10(max(found)) + _HEADROOM)
    return 10.0**low, 10.0 ** min(max(high, low + 1), 307)


def _notes(report: Report, curves: dict[str, Trajectory]) -> list[str]:
    notes: list[str] = []
    stored = [m.name for m in report.methods if m.reconstruction and not m.reconstruction.measured]
    if stored:
        notes.append(f"Stored states, error 0 by construction: {listed(stored)}.")
    for name, curve in curves.items():
        broken = [t for t, e in zip(curve.t, curve.error, strict=False) if not math.isfinite(e)]
        if broken:
            notes.append(f"{shorten(name, 20)} stops being finite at t = {general(broken[0])}.")
    return notes


def absent(report: Report) -> str:
    """Why there is no error over time."""
    if select(report):
        return ""
    exact = [name for name, curve in report.series.reconstruction.items() if curve.error]
    if exact:
        return f"The states that {listed(exact)} reconstructed are exact to the last digit."
    failed = [m.name for m in report.methods if m.status == "failed"]
    if failed:
        return f"No states were reconstructed: {listed(failed)} failed before there were any."
    return "No method ran through reconstructed states: all of them use stored ones."


def describe(report: Report) -> str:
    """Largest and last error of every curve, in words."""
    parts: list[str] = []
    for name, curve in select(report).items():
        worst = max(range(len(curve.error)), key=lambda i: _rank(curve.error[i]))
        parts.append(
            f"{shorten(name)} peaks at {scientific(curve.error[worst])} near "
            f"t = {general(curve.t[worst])} and ends at {scientific(curve.error[-1])}"
        )
    return (
        f"Relative error of the reverse-time state over time, logarithmic axis: {'; '.join(parts)}."
    )


def _rank(error: float) -> float:
    return math.inf if math.isnan(error) else error


def table(report: Report) -> Table:
    """Error of every curve over time."""
    rows = [
        (name, general(t), scientific(error))
        for name, curve in select(report).items()
        for t, error in zip(curve.t, curve.error, strict=False)
    ]
    caption = "Relative error of the reverse-time state"
    return thinned(Table(caption, ("method", "t", "relative error"), rows))


PLOT = Plot(
    "reconstruction_error", "Error of the reverse-time state", absent, draw, describe, table
)
