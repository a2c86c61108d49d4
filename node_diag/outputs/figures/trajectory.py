"""Forward trajectory, and the one a reverse-time solve went through instead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from node_diag.outputs.figures.canvas import Handle, axes_inches, blank, label, place
from node_diag.outputs.figures.curves import component, finite, method_names, thin, time_span
from node_diag.outputs.figures.plot import Plot
from node_diag.outputs.figures.style import INK, Look, looks
from node_diag.outputs.foreign import shorten
from node_diag.outputs.numbers import general, scientific
from node_diag.outputs.table import Table, thinned
from node_diag.outputs.verdict import listed
from node_diag.records import Report, Trajectory

MOST_COMPONENTS = 4
ROOM = 0.5
"""How far, in extents of the forward trajectory, a reconstruction may stretch an axis."""
FEW = 50
_PHASE_HEIGHT = 3.9


def frame(forward: Sequence[float], others: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Limits that show all of the forward values, and of the others what lies near them."""
    own = finite(forward) or [0.0]
    low, high = min(own), max(own)
    room = ROOM * ((high - low) or abs(high) or 1.0)
    near = [v for values in others for v in finite(values) if low - room <= v <= high + room]
    far = [v for values in others for v in values if not low - room <= v <= high + room]
    # A curve that leaves is seen leaving: the room is shown on that side.
    bottom = min([low, *near, *(low - room for v in far if v < low)])
    top = max([high, *near, *(high + room for v in far if v > high)])
    margin = 0.05 * ((top - bottom) or 1.0)
    return bottom - margin, top + margin


def draw(report: Report) -> Figure:
    """Phase plane of a state with two components, else one panel per component over time."""
    series = report.series
    styles = looks(method_names(report))
    curves = {n: t for n, t in series.reconstruction.items() if t.t}
    entries = _entries(curves, styles)
    is_plane = report.problem.n_state == 2 and len(series.components) == 2
    shown = min(len(series.components), MOST_COMPONENTS)
    height = _PHASE_HEIGHT if is_plane else _pitch(shown) * shown
    notes = _notes(report, curves, shown)
    figure, top = blank(_title(curves), entries, height + (0.65 if is_plane else 0.6), notes)
    panels = _plane if is_plane else _over_time
    panels(figure, report, curves, styles, top)
    return figure


def _pitch(n_panels: int) -> float:
    """Inches from one panel over time to the next."""
    return max(1.45, 2.7 / n_panels)


def _title(curves: dict[str, Trajectory]) -> str:
    return "Forward and reconstructed trajectory" if curves else "Forward trajectory"


def _drawn(curve: Trajectory, look: Look) -> dict[str, Any]:
    """A line, or points where they are so few that a line between them would leave the curve."""
    if len(curve.t) > FEW:
        return {"ls": look.dash}
    return {"ls": "none", "marker": look.marker, "ms": 4}


def _entries(curves: dict[str, Trajectory], styles: dict[str, Look]) -> list[tuple[Handle, str]]:
    entries: list[tuple[Handle, str]] = [(Line2D([], [], color=INK), "forward")]
    for name, curve in curves.items():
        line = Line2D([], [], color=styles[name].colour, **_drawn(curve, styles[name]))
        entries.append((line, f"{shorten(name, 20)}, reconstructed in reverse time"))
    return entries


def _plane(
    figure: Figure,
    report: Report,
    curves: dict[str, Trajectory],
    styles: dict[str, Look],
    top: float,
) -> None:
    forward = report.series.forward
    axes = place(figure, 0.95, top + 0.05, _PHASE_HEIGHT)
    x, y = component(forward, 0), component(forward, 1)
    axes.plot(thin(x), thin(y), color=INK, lw=1.6, label="forward")
    for name, curve in curves.items():
        look = styles[name]
        xs, ys = thin(component(curve, 0)), thin(component(curve, 1))
        axes.plot(xs, ys, color=look.colour, label=name, **_drawn(curve, look))
        axes.plot(xs[-1:], ys[-1:], ls="none", marker="X", ms=8, color=look.colour)
    axes.set_xlim(*frame(x, [component(c, 0) for c in curves.values()]))
    axes.set_ylim(*frame(y, [component(c, 1) for c in curves.values()]))
    for point, text, marker in ((0, "t0", "o"), (-1, "t1", "s")):
        if len(x) > 1:
            axes.plot(x[point], y[point], marker=marker, color=INK, ms=7)
            axes.annotate(
                text, (x[point], y[point]), (7, 7), textcoords="offset points", weight="bold"
            )
    names = [shorten(c, 40) for c in report.series.components]
    label(axes, names[0], names[1], left=0.6)


def _over_time(
    figure: Figure,
    report: Report,
    curves: dict[str, Trajectory],
    styles: dict[str, Look],
    top: float,
) -> None:
    forward = report.series.forward
    names = [shorten(c, 40) for c in report.series.components[:MOST_COMPONENTS]]
    pitch = _pitch(len(names))
    axes: Axes | None = None
    for i, name in enumerate(names):
        axes = place(figure, 0.95, top + 0.2 + i * pitch, pitch - 0.38)
        values = component(forward, i)
        axes.plot(thin(forward.t), thin(values), color=INK, lw=1.6, label="forward")
        others = {method: component(curve, i) for method, curve in curves.items()}
        for method, ours in others.items():
            look = styles[method]
            curve = curves[method]
            axes.plot(
                thin(curve.t), thin(ours), color=look.colour, label=method, **_drawn(curve, look)
            )
        axes.set_ylim(*frame(values, list(others.values())))
        axes.set_xlim(*time_span(report))
        axes.text(0, 1 + 0.05 / axes_inches(axes)[0], name, transform=axes.transAxes, va="bottom")
        axes.tick_params(labelbottom=i == len(names) - 1)
    if axes:
        label(axes, "t")


def _notes(report: Report, curves: dict[str, Trajectory], shown: int) -> list[str]:
    notes: list[str] = []
    n_state = report.problem.n_state
    if shown < n_state:
        notes.append(f"The first {shown} of {n_state:,} components.")
    for name, curve in curves.items():
        gone = departure(report.series.forward, curve)
        if gone:
            t, furthest = gone
            notes.append(
                f"{shorten(name, 20)} leaves the frame at t = {general(t)} and reaches "
                f"|z| = {scientific(furthest)}: axes clipped."
            )
    return notes


def departure(forward: Trajectory, curve: Trajectory) -> tuple[float, float] | None:
    """When a reconstruction first leaves the frame, and its largest value; None if it stays."""
    n_shown = min(MOST_COMPONENTS, len(forward.z[0]) if forward.z else 0)
    values = [component(curve, i) for i in range(n_shown)]
    frames = [frame(component(forward, i), [values[i]]) for i in range(n_shown)]
    for j, t in enumerate(curve.t):
        if any(not low <= v[j] <= high for (low, high), v in zip(frames, values, strict=True)):
            sizes = [abs(v) for row in values for v in row if not math.isnan(v)]
            return t, max(sizes, default=math.nan)
    return None


def absent(report: Report) -> str:
    """Why there is no trajectory."""
    return "" if report.series.forward.t else "The forward trajectory was not recorded."


def describe(report: Report) -> str:
    """Where the curves start and how far apart they end, in words."""
    t0, t1 = time_span(report)
    text = f"Forward trajectory from t0 = {general(t0)} to t1 = {general(t1)}"
    if not report.series.reconstruction:
        failed = [m.name for m in report.methods if m.status == "failed"]
        why = f"No states were reconstructed: {listed(failed)} failed." if failed else ""
        return f"{text}. {why or 'No method reconstructs it.'}"
    parts = [
        f"{shorten(m.name)} is off by {scientific(m.reconstruction.max_error)} at worst and by "
        f"{scientific(m.reconstruction.initial_error)} at t0"
        for m in report.methods
        if m.reconstruction and m.name in report.series.reconstruction
    ]
    names = listed(list(report.series.reconstruction))
    errors = "; ".join(parts)
    return f"{text}, and the states {names} ran through in reverse time. Relative error: {errors}."


def table(report: Report) -> Table:
    """States of all curves, one after the other."""
    curves = {"forward": report.series.forward, **report.series.reconstruction}
    rows = [
        (name, general(t), *map(general, z))
        for name, curve in curves.items()
        for t, z in zip(curve.t, curve.z, strict=False)
    ]
    columns = ("curve", "t", *report.series.components)
    return thinned(Table("States along the forward and reconstructed trajectories", columns, rows))


PLOT = Plot("trajectory", "Forward and reconstructed trajectory", absent, draw, describe, table)
