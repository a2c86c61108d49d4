"""Error against work: a line for every method along tolerances or step sizes, a panel for all else.

What the ODE community calls a work–precision diagram: lower and further left is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator

from node_diag.config import option_text
from node_diag.outputs.figures.canvas import Handle, blank, decades, label, place
from node_diag.outputs.figures.style import INK, MUTED, looks, sheet
from node_diag.outputs.numbers import count, general, scientific, uncertain
from node_diag.outputs.picture import Picture
from node_diag.outputs.table import Table
from node_diag.records.sweep import Sweep, SweepPoint
from node_diag.sweep.axes import GEOMETRIC

HEIGHT = 2.5
MOST_PANELS = 12
FEW = 3e3
"""Of a logarithmic axis from end to end: less has too few powers of ten to read a count from."""


@dataclass(frozen=True)
class Work:
    """A kind of work: what is drawn to the right."""

    name: str
    text: str
    of: Callable[[SweepPoint], float | None]


KINDS = (
    Work("evaluations", "evaluations of f, forward and backward", lambda p: p.nfe),
    Work("memory", "bytes saved for the backward pass", lambda p: p.saved_bytes),
    Work("time", "seconds, one setting after the other", lambda p: p.seconds),
)


def pictures(found: Sweep) -> list[Picture]:
    """A diagram for every kind of work that was measured."""
    return [
        picture
        for work in KINDS
        if any(_visible(point, work) for point in found.points)
        and (picture := _picture(found, work))
    ]


def _visible(point: SweepPoint, work: Work) -> bool:
    x = work.of(point)
    return bool(x) and point.error is not None and 0 < point.error < math.inf


def _picture(found: Sweep, work: Work) -> Picture:
    panels = _panels(found)
    shown = panels[:MOST_PANELS]
    styles = looks(list(found.methods))
    entries: list[tuple[Handle, str]] = [
        (Line2D([], [], color=styles[m].colour, ls=styles[m].dash, marker=styles[m].marker), m)
        for m in found.methods
    ]
    entries.append((Line2D([], [], color=MUTED, ls=":"), "target"))
    notes = ["A method that failed, or whose error cannot be known, has no point."]
    if found.cheapest is not None and _visible(found.points[found.cheapest], work):
        notes.append("Circled: fewest evaluations of f among those that meet the target.")
    if len(panels) > len(shown):
        notes.append(f"The first {len(shown)} of {len(panels)} panels; points.csv has them all.")
    title = f"Gradient error against {work.text.partition(',')[0]}"
    points = [p for p in found.points if _visible(p, work)]
    limits = [
        _span([work.of(p) or 0.0 for p in points]),
        _span([found.target_error, *(p.error or 0.0 for p in points)]),
    ]
    with sheet():
        figure, top = blank(title, entries, HEIGHT * len(shown) + 0.1, notes)
        for i, where in enumerate(shown):
            axes = place(figure, 0.95, top + 0.3 + HEIGHT * i, HEIGHT - 0.85)
            axes.set_title(", ".join(f"{k} = {option_text(v)}" for k, v in where.items()))
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlim(*limits[0])
            axes.set_ylim(*limits[1])
            _lines(axes, found, where, work)
            _ticks(axes.xaxis, *limits[0])
            decades(axes.yaxis)
            label(axes, work.text if i == len(shown) - 1 else "", "relative error", left=0.65)
    return Picture(
        f"work_precision_{work.name}", title, figure, _words(found, work), _numbers(found, work)
    )


def _panels(found: Sweep) -> list[dict[str, Any]]:
    """Every combination of values of what is no tolerance and no step size."""
    names = [name for name in found.axes if name not in GEOMETRIC]
    return [
        dict(zip(names, values, strict=True))
        for values in product(*(found.axes[name] for name in names))
    ]


def _lines(axes: Axes, found: Sweep, where: dict[str, Any], work: Work) -> None:
    styles = looks(list(found.methods))
    for name, look in styles.items():
        own = [
            p
            for p in found.points
            if p.method == name
            and all(p.at[k] == v for k, v in where.items())
            and _visible(p, work)
        ]
        for line in _joined(own, [name for name in found.axes if name in GEOMETRIC], work):
            axes.plot(
                *zip(*line, strict=True),
                color=look.colour, ls=look.dash, marker=look.marker, label=name,
            )  # fmt: skip
    if not axes.lines:
        axes.text(0.5, 0.5, "no point", transform=axes.transAxes, ha="center", color=MUTED)
    axes.axhline(found.target_error, color=MUTED, ls=":", lw=1.2)
    if found.cheapest is not None:
        best = found.points[found.cheapest]
        if all(best.at[k] == v for k, v in where.items()) and _visible(best, work):
            axes.plot([work.of(best)], [best.error], "o", mfc="none", mec=INK, ms=13, mew=1.4)  # pyright: ignore[reportArgumentType]


def _joined(
    own: Sequence[SweepPoint], names: Sequence[str], work: Work
) -> list[tuple[tuple[float, float], ...]]:
    """Polylines along the one axis that leaves the fewest of them.

    A solver does not look at every axis: what is equal for it is one point, and one line.
    """
    found: list[list[tuple[tuple[float, float], ...]]] = []
    for along in names or [""]:
        lines: dict[str, dict[tuple[float, float], None]] = {}
        for p in own:
            others = ", ".join(f"{k}={option_text(v)}" for k, v in p.at.items() if k != along)
            place = (float(work.of(p) or math.nan), p.error or math.nan)
            lines.setdefault(others, {})[place] = None
        found.append(list(dict.fromkeys(tuple(line) for line in lines.values())))
    return min(found, key=len)


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Around them, so that no point lies on the frame, with room for two decades or more."""
    low, high = math.log10(min(values)), math.log10(max(values))
    edge = max(0.06 * (high - low), 1.0 - (high - low) / 2)
    return 10.0 ** (low - edge), 10.0 ** (high + edge)


def _ticks(axis: Axis, low: float, high: float) -> None:
    """Powers of ten, and where those are few 2 and 5 times them, as counts."""
    decades(axis)
    if high / low < FEW and low >= 1:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(_counted))


def _counted(value: float, _position: int | None = None) -> str:
    return count(value)


def _words(found: Sweep, work: Work) -> str:
    parts: list[str] = []
    for name in found.methods:
        own = [p for p in found.points if p.method == name and _visible(p, work)]
        if own:
            best = min(own, key=lambda p: p.error or math.inf)
            parts.append(f"{name} reaches {scientific(best.error)} at {general(work.of(best))}")
        else:
            parts.append(f"{name} has no point")
    return f"Relative gradient error against {work.text}: " + "; ".join(parts) + "."


def _numbers(found: Sweep, work: Work) -> Table:
    rows = [
        (
            p.method, *(option_text(v) for v in p.at.values()), general(work.of(p)),
            p.failure or p.no_truth or uncertain(p.error, p.uncertainty),
        )
        for p in found.points
    ]  # fmt: skip
    words = frozenset({0, *(1 + i for i in range(len(found.axes)))})
    columns = ("method", *found.axes, work.text, "error ± uncertainty")
    return Table(f"Error against {work.text}", columns, rows, words)
