"""Loss over the steps of training, and the error of the gradient that was followed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from node_diag.outputs.figures.canvas import Handle, blank, decades, label, place
from node_diag.outputs.figures.plot import Plot
from node_diag.outputs.figures.style import looks
from node_diag.outputs.numbers import scientific
from node_diag.outputs.table import Table
from node_diag.outputs.training import by_method
from node_diag.records import Report
from node_diag.records.training import TrainingRun

_HEIGHT = 2.7
Curve = list[tuple[int, float, float, float]]
"""Step, lowest, median and highest over the starts that got there."""
Select = Callable[[Report], dict[str, Curve]]


def losses(report: Report) -> dict[str, Curve]:
    """Loss before every step, by method."""
    return {name: _over_starts([dict(enumerate(run.losses)) for run in runs])
            for name, runs in _runs(report).items()}  # fmt: skip


def errors(report: Report) -> dict[str, Curve]:
    """Relative error of dL/dθ, by method."""
    return {
        name: _over_starts([{p.step: p.relative_error for p in run.truth} for run in runs])
        for name, runs in _runs(report).items()
    }


def _runs(report: Report) -> dict[str, list[TrainingRun]]:
    return by_method(report.training) if report.training else {}


def _over_starts(curves: Sequence[dict[int, float]]) -> Curve:
    found: Curve = []
    for step in sorted({step for curve in curves for step in curve}):
        values = sorted(
            curve[step] for curve in curves if step in curve and math.isfinite(curve[step])
        )
        if values:
            found.append((step, values[0], statistics.median(values), values[-1]))
    return found


def _draw(title: str, curves: dict[str, Curve], quantity: str) -> Figure:
    styles = looks(list(curves))
    entries: list[tuple[Handle, str]] = [
        (Line2D([], [], color=styles[n].colour, ls=styles[n].dash), n) for n in curves
    ]
    note = "Median over the starts; the band is their range."
    figure, top = blank(title, entries, _HEIGHT + 0.75, [note])
    axes = place(figure, 0.95, top + 0.15, _HEIGHT)
    is_positive = all(low > 0 for curve in curves.values() for _, low, _, _ in curve)
    if is_positive:
        axes.set_yscale("log")
    for name, curve in curves.items():
        steps = [step for step, *_ in curve]
        look = styles[name]
        axes.plot(steps, [m for _, _, m, _ in curve], color=look.colour, ls=look.dash, label=name)
        low, high = [v for _, v, _, _ in curve], [v for *_, v in curve]
        axes.fill_between(steps, low, high, color=look.colour, alpha=0.15, lw=0)
    if is_positive:
        decades(axes.yaxis)
    label(axes, "step", quantity, left=0.65)
    return figure


def _table(title: str, curves: dict[str, Curve]) -> Table:
    rows = [
        (str(step), name, *map(scientific, numbers))
        for name, curve in curves.items()
        for step, *numbers in curve
    ]
    return Table(title, ("step", "method", "lowest", "median", "highest"), rows, frozenset({1}))


def _describe(title: str, curves: dict[str, Curve]) -> str:
    parts = [
        f"{name} from {scientific(curve[0][2])} to {scientific(curve[-1][2])}"
        for name, curve in curves.items()
        if curve
    ]
    return f"{title}, median over the starts: {'; '.join(parts)}."


def _plot(name: str, title: str, select: Select, quantity: str, absent: str) -> Plot:
    return Plot(
        name,
        title,
        lambda report: "" if any(select(report).values()) else absent,
        lambda report: _draw(title, select(report), quantity),
        lambda report: _describe(title, select(report)),
        lambda report: _table(title, select(report)),
    )


LOSS = _plot("training_loss", "Loss over the steps of training", losses, "loss",
             "Nothing was trained.")  # fmt: skip
ERROR = _plot("training_error", "Error of the gradient during training", errors, "relative error",
              "The true gradient was not looked at.")  # fmt: skip
