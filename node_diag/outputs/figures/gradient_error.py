"""Relative error of every gradient in each parameter tensor, with the reference's uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from node_diag.outputs.figures.canvas import Handle, blank, decades, label, label_width, place
from node_diag.outputs.figures.curves import method_names
from node_diag.outputs.figures.plot import Plot
from node_diag.outputs.figures.style import BAND, INK, MUTED, RULE, SMALL, Look, looks
from node_diag.outputs.foreign import shorten
from node_diag.outputs.numbers import scientific, uncertain
from node_diag.outputs.table import Table
from node_diag.outputs.verdict import listed
from node_diag.records import ErrorRecord, MissingReference, ParameterError, Report

MOST = 20
"""Tensors drawn; with more of them, those with the largest errors."""
_SPACE = "\u00a0" * 4
"""Between a marker and its text; SVG collapses ordinary spaces."""
_FEW = 6
"""Tensors up to which rows are generously spaced."""
_TIMES = ("t0", "t1")
_SMALLEST = 1e-300
"""Below this an error is shown as 0: its logarithm is of no use to anybody."""


@dataclass(frozen=True)
class Errors:
    """What is drawn: errors by method and tensor against one of the two truths."""

    truth: str
    by_method: dict[str, dict[str, ParameterError]]
    tensors: list[str]
    omitted: int

    def bar(self, tensor: str) -> float:
        """Relative truth's uncertainty in one tensor; 0 if it is not known.

        An error e is known to u·(1 + e) if its truth is known to u; the method with the smallest
        error says most about u.
        """
        found = [e[tensor] for e in self.by_method.values() if tensor in e]
        pairs = [(e.relative_l2, e.uncertainty) for e in found]
        bars = [u / (1 + e) for e, u in pairs if e is not None and u is not None]
        return min((u for u in bars if math.isfinite(u)), default=0.0)


def select(report: Report) -> Errors:
    """Errors against the continuous truth, or against the discrete one where there is no other."""
    for truth in ("continuous", "discrete"):
        records: dict[str, ErrorRecord] = {
            m.name: getattr(m.errors, truth)
            for m in report.methods
            if m.errors and getattr(m.errors, truth)
        }
        if records:
            break
    else:
        return Errors("", {}, [], 0)
    by_method = {name: error.by_parameter for name, error in records.items()}
    every = list(dict.fromkeys(t for errors in by_method.values() for t in errors))
    times = [t for t in _TIMES if t in every]
    tensors = [t for t in every if t not in _TIMES]
    if len(tensors) > MOST:
        tensors.sort(key=lambda t: -max(_rank(e[t]) for e in by_method.values() if t in e))
    return Errors(truth, by_method, tensors[:MOST] + times, max(0, len(tensors) - MOST))


def _rank(error: ParameterError) -> float:
    """Size of an error; NaN is worse than anything."""
    value = error.relative_l2
    return 0.0 if value is None else math.inf if math.isnan(value) else value


def limits(errors: Errors) -> tuple[float, float]:
    """Powers of ten around all errors and uncertainties."""
    drawn = [e[t].relative_l2 for e in errors.by_method.values() for t in errors.tensors if t in e]
    values = [v for v in (*drawn, *map(errors.bar, errors.tensors)) if v is not None]
    exponents = [math.log10(v) for v in values if math.isfinite(v) and v > _SMALLEST] or [-3.0]
    low, high = math.floor(min(exponents)) - 1, math.ceil(max(exponents)) + 1
    return 10.0 ** max(low, -307), 10.0 ** min(high, 307)


def draw(report: Report) -> Figure:
    """One row per tensor, one marker per method, the truth's uncertainty in grey."""
    errors = select(report)
    styles = looks(method_names(report))
    n_methods, n_tensors = len(errors.by_method), len(errors.tensors)
    pitch = max(0.3, (0.17 if n_tensors <= _FEW else 0.11) * n_methods + 0.08)
    height = pitch * n_tensors
    title = f"Gradient error against the {errors.truth} truth"
    figure, top = blank(title, _entries(errors, styles), height + 0.95, _notes(report, errors))
    names = [shorten(t, 28) for t in errors.tensors]
    low, high = limits(errors)
    room = 0.25 if low < 1 < high else 0.1  # for the words above the line of 100 %
    axes = place(figure, label_width(names), top + room, height)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    decades(axes.xaxis)
    label(axes, "relative error  ‖g − truth‖ / ‖truth‖")
    axes.hlines(
        [i + 0.5 for i in range(n_tensors - 1)],
        0,
        1,
        RULE,
        lw=0.8,
        zorder=0.4,
        transform=axes.get_yaxis_transform(),
    )
    _uncertainty(axes, errors)
    _whole(axes)
    for i, (name, by_tensor) in enumerate(errors.by_method.items()):
        offset = 0.7 * ((i + 0.5) / len(errors.by_method) - 0.5)
        _markers(axes, name, styles[name], [by_tensor.get(t) for t in errors.tensors], offset)
    return figure


def _entries(errors: Errors, styles: dict[str, Look]) -> list[tuple[Handle, str]]:
    entries: list[tuple[Handle, str]] = [
        (Line2D([], [], color=styles[m].colour, marker=styles[m].marker, ls="none"), shorten(m, 20))
        for m in errors.by_method
    ]
    if any(map(errors.bar, errors.tensors)):
        entries.append((Patch(color=BAND), "truth's uncertainty"))
    return entries


def _notes(report: Report, errors: Errors) -> list[str]:
    notes: list[str] = []
    if errors.omitted:
        notes.append(f"The {MOST} largest errors; {errors.omitted} more tensors are not shown.")
    failed = [m.name for m in report.methods if m.name not in errors.by_method]
    if failed:
        notes.append(f"No gradient to compare: {listed(failed)}.")
    if errors.truth == "discrete":
        notes.append("There is no continuous reference: errors against the discrete one.")
    return notes


def _uncertainty(axes: Axes, errors: Errors) -> None:
    """Grey from the left edge to the uncertainty: no error in there is known."""
    low = axes.get_xlim()[0]
    for i, tensor in enumerate(errors.tensors):
        bar = errors.bar(tensor)
        if bar > low:
            axes.barh(i, bar - low, left=low, height=1, color=BAND, zorder=0.5)
            axes.plot([bar, bar], [i - 0.5, i + 0.5], color=MUTED, lw=1, zorder=0.6)


def _whole(axes: Axes) -> None:
    """A line where the error is as large as the gradient."""
    low, high = axes.get_xlim()
    if low < 1 < high:
        axes.axvline(1, color=INK, lw=1, zorder=0.7)
        axes.text(
            1,
            1.0,
            " 100 %",
            transform=axes.get_xaxis_transform(),
            size=SMALL,
            va="bottom",
            ha="center",
        )


def _markers(
    axes: Axes, name: str, look: Look, errors: Sequence[ParameterError | None], offset: float
) -> None:
    """Errors as filled markers; what is on no logarithmic axis as a hollow one at its edge."""
    points = {i + offset: error for i, error in enumerate(errors) if error is not None}
    filled = {
        y: e.relative_l2
        for y, e in points.items()
        if e.relative_l2 is not None and _SMALLEST < e.relative_l2 < math.inf
    }
    axes.plot(
        list(filled.values()),
        list(filled),
        ls="none",
        marker=look.marker,
        color=look.colour,
        label=name,
    )
    low, high = axes.get_xlim()
    inset = (high / low) ** 0.012
    for y in points.keys() - filled.keys():
        value, edge, side, space = points[y].relative_l2, low * inset, "left", f"{_SPACE}{{}}"
        text = f"{scientific(points[y].max_abs)} absolute" if value is None else scientific(value)
        if value is not None and not value <= _SMALLEST:
            edge, side, space = high / inset, "right", f"{{}}{_SPACE}"
        axes.plot(edge, y, ls="none", marker=look.marker, color=look.colour, mfc="none", ms=5)
        axes.text(edge, y, space.format(text), size=SMALL, ha=side, va="center")


def absent(report: Report) -> str:
    """Why no error is known."""
    if select(report).by_method:
        return ""
    truth = report.references.continuous
    if isinstance(truth, MissingReference):
        return f"There is no reference to compare with: {truth.reason}."
    return "No method returned a gradient."


def describe(report: Report) -> str:
    """The range of every method's errors, in words."""
    errors = select(report)
    parts: list[str] = []
    for name, by_tensor in errors.by_method.items():
        found = [e.relative_l2 for e in by_tensor.values() if e.relative_l2 is not None]
        worst = max(by_tensor, key=lambda t: _rank(by_tensor[t]), default="")
        if found:
            size = scientific(by_tensor[worst].relative_l2)
            parts.append(f"{shorten(name)} is worst in {shorten(worst)}, at {size}")
    return (
        f"Relative gradient error per parameter tensor against the {errors.truth} truth, "
        f"logarithmic axis: {'; '.join(parts)}."
    )


def table(report: Report) -> Table:
    """Errors with uncertainties: tensors down, methods across."""
    errors = select(report)
    every = list(dict.fromkeys(t for e in errors.by_method.values() for t in e))
    rows = [
        (tensor, *(_cell(by_tensor.get(tensor)) for by_tensor in errors.by_method.values()))
        for tensor in every
    ]
    caption = f"Relative error per parameter tensor against the {errors.truth} truth"
    return Table(caption, ("tensor", *errors.by_method), rows)


def _cell(error: ParameterError | None) -> str:
    if error is None:
        return scientific(None)
    if error.relative_l2 is None:
        return f"{scientific(error.max_abs)} abs"
    return uncertain(error.relative_l2, error.uncertainty)


PLOT = Plot("gradient_error", "Gradient error per parameter", absent, draw, describe, table)
