"""What each method cost, beside the formulas of table 1 of Zhuang et al. (2020)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from node_diag.outputs.figures.canvas import WIDTH, Handle, blank, label_width, place
from node_diag.outputs.figures.curves import method_names
from node_diag.outputs.figures.plot import Plot
from node_diag.outputs.figures.style import INK, MUTED, PAPER, SMALL, Look, looks
from node_diag.outputs.foreign import shorten
from node_diag.outputs.numbers import NOTHING, count, size
from node_diag.outputs.table import Table
from node_diag.records import Cost, PaperCost, Report

PANELS = (
    ("evaluations", "Time: passes through f, forward and backward"),
    ("memory", "Memory: bytes kept for backward"),
    ("depth", "Depth: autograd nodes in a row"),
)
_NUMBERS = 2.0
"""Inches on the right for two columns of numbers."""
_WIDE = 30
"""Ratio of the largest to the smallest bar from which on the axis is logarithmic."""


@dataclass(frozen=True)
class Bar:
    """One method in one panel."""

    method: str
    measured: float
    formula: float | None


def bars(report: Report, quantity: str) -> list[Bar]:
    """Measured values beside the formula's, for the methods that ran."""
    found: list[Bar] = []
    for m in report.methods:
        if m.cost is None:
            continue
        entry = report.paper_cost.get(m.name, {}).get(quantity)
        measured = entry.measured if entry else _own(m.cost, quantity)
        found.append(Bar(m.name, measured, entry.value if entry else None))
    return found


def _own(cost: Cost, quantity: str) -> float:
    """What was measured, for a method that the paper has no formula for."""
    if quantity == "memory":
        return cost.saved_bytes
    if quantity == "depth":
        return cost.graph_depth
    # Backprop through a stored graph evaluates no f; its cost is the products with Jacobians.
    return cost.nfe_forward + (cost.nfe_backward or cost.nvjp_backward)


def draw(report: Report) -> Figure:
    """Three panels of bars with the formula's value as a diamond, and both numbers beside them."""
    styles = looks(method_names(report))
    n = sum(m.cost is not None for m in report.methods)
    entries: list[tuple[Handle, str]] = [
        (Patch(color=MUTED), "measured"),
        (_diamond(), "formula of Zhuang et al. 2020"),
    ]
    height = 0.3 * n
    pitch = height + 0.6
    failed = [shorten(m.name) for m in report.methods if m.cost is None]
    notes = [f"Not measured: {', '.join(failed)}."] if failed else []
    figure, top = blank("Cost", entries, pitch * len(PANELS) + 0.1, notes)
    left = label_width([shorten(m.name, 20) for m in report.methods if m.cost])
    for i, (quantity, title) in enumerate(PANELS):
        axes = place(figure, left, top + 0.4 + i * pitch, height, right=_NUMBERS)
        _panel(axes, quantity, bars(report, quantity), styles)
        _headings(axes, title, 1 + 0.08 / height)
    return figure


def _diamond() -> Line2D:
    return Line2D([], [], color=INK, marker="D", mfc=PAPER, mew=1.4, ms=7, ls="none")


def amount(quantity: str, value: float) -> str:
    """A number in the unit of its panel."""
    if not math.isfinite(value):
        return count(value)
    return size(value) if quantity == "memory" else count(round(value))


def _panel(axes: Axes, quantity: str, entries: list[Bar], styles: dict[str, Look]) -> None:
    values = [v for bar in entries for v in (bar.measured, bar.formula) if v and 0 < v < math.inf]
    low = _scale(axes, values)
    where = axes.get_yaxis_transform()
    for i, bar in enumerate(entries):
        if 0 < bar.measured < math.inf:
            colour = styles[bar.method].colour
            axes.barh(i, bar.measured - low, left=low, height=0.62, color=colour, label=bar.method)
        if bar.formula and math.isfinite(bar.formula):
            axes.plot(bar.formula, i, ls="none", marker="D", mfc=PAPER, color=INK, mew=1.4, ms=7)
        numbers = (bar.measured, bar.formula)
        for x, value, colour in zip(_columns(axes), numbers, (INK, MUTED), strict=True):
            text = NOTHING if value is None else amount(quantity, value)
            axes.text(
                x, i, text, transform=where, va="center", ha="right", size=SMALL, color=colour
            )
    axes.set_yticks(range(len(entries)), [shorten(bar.method, 20) for bar in entries])
    axes.set_ylim(len(entries) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    axes.set_xticks([], minor=True)


def _scale(axes: Axes, values: list[float]) -> float:
    """Set the horizontal axis; gives its left end."""
    low, high = min(values, default=1.0), max(values, default=1.0)
    if high <= _WIDE * low:
        axes.set_xlim(0, high * 1.04)
        return 0.0
    # The smallest bar gets a tenth of the width, so that it can be seen.
    axes.set_xscale("log")
    axes.set_xlim(low := low * (low / high) ** 0.12, high * (high / low) ** 0.03)
    return low


def _columns(axes: Axes) -> tuple[float, float]:
    """Right edges of the two columns of numbers, in widths of the axes."""
    width = axes.get_position().width * WIDTH
    return 1 + 0.46 * _NUMBERS / width, 1 + 0.93 * _NUMBERS / width


def _headings(axes: Axes, title: str, y: float) -> None:
    scale = "  (log scale)" if axes.get_xscale() == "log" else ""
    axes.text(0, y, title + scale, transform=axes.transAxes)
    for x, text in zip(_columns(axes), ("measured", "formula"), strict=True):
        axes.text(x, y, text, transform=axes.transAxes, ha="right", size=SMALL, color=MUTED)


def absent(report: Report) -> str:
    """Why nothing was measured."""
    return "" if any(m.cost for m in report.methods) else "No method ran to its end."


def describe(report: Report) -> str:
    """Evaluations and bytes of every method, in words."""
    parts = [
        f"{shorten(m.name)} {count(m.cost.nfe_forward + m.cost.nfe_backward)} evaluations of f, "
        f"{count(m.cost.nvjp_backward)} vjps and {size(m.cost.saved_bytes)} saved"
        for m in report.methods
        if m.cost
    ]
    return f"Measured cost of each method beside the paper's formulas: {'; '.join(parts)}."


def table(report: Report) -> Table:
    """Measured value, formula and its value for each quantity."""
    rows = [
        (m.name, title, *_cells(quantity, entry))
        for m in report.methods
        for quantity, title in PANELS
        if (entry := report.paper_cost.get(m.name, {}).get(quantity))
    ]
    columns = ("method", "quantity", "measured", "formula", "value of the formula")
    return Table("Measured cost and the formulas of the paper", columns, rows, frozenset({0, 1, 3}))


def _cells(quantity: str, entry: PaperCost) -> tuple[str, str, str]:
    return amount(quantity, entry.measured), entry.formula or NOTHING, amount(quantity, entry.value)


PLOT = Plot("cost", "Cost", absent, draw, describe, table)
