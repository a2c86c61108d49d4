"""Error against work: a line for every method along tolerances or step sizes, a panel for all else.

What the ODE community calls a work–precision diagram: lower and further left is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator

from node_diag.config import option_text
from node_diag.outputs.figures.canvas import blank, decades, label, place
from node_diag.outputs.figures.style import looks, sheet
from node_diag.outputs.numbers import NOTHING, count, duration, general, scientific, uncertain
from node_diag.outputs.picture import Picture
from node_diag.outputs.table import Table
from node_diag.records.sweep import Sweep, SweepPoint
from node_diag.sweep.axes import GEOMETRIC
from node_diag.sweep.choosing import is_at
from node_diag.sweep.grid import FIXED_ONLY
from node_diag.sweep.panels import (
    AXIS_ROOM,
    HEIGHT,
    MOST_PANELS,
    TITLE_ROOM,
    Spot,
    at,
    circle,
    draw,
    entries,
    finish,
    heading,
    is_numeric,
    notes,
    panels,
    span,
)

GAP = Spot(math.nan, math.nan)
FEW = 3e3
"""Of a logarithmic axis from end to end: less has too few powers of ten to read a count from."""


@dataclass(frozen=True)
class Work:
    """A kind of work: what is drawn to the right."""

    name: str
    text: str
    of: Callable[[SweepPoint], float | None]
    spread: bool = False
    """Whether it is a time, which is not the same twice."""


KINDS = (
    Work("evaluations", "evaluations of f, forward and backward", lambda p: p.nfe),
    Work("memory", "bytes saved for the backward pass", lambda p: p.saved_bytes),
    Work("time", "seconds, one setting after the other", lambda p: p.seconds, True),
)


def pictures(found: Sweep) -> list[Picture]:
    """A diagram for every kind of work that was measured."""
    return [
        _picture(found, work)
        for work in KINDS
        if any(_visible(point, work) for point in found.points)
    ]


def _visible(point: SweepPoint, work: Work) -> bool:
    return bool(work.of(point)) and point.drawn is not None


def _picture(found: Sweep, work: Work) -> Picture:
    along = _along(found)
    all_panels = panels(found, along)
    shown = all_panels[:MOST_PANELS]
    title = f"Gradient error against {work.text.partition(',')[0]}"
    points = [p for p in found.points if _visible(p, work)]
    limits = [
        span([work.of(p) or 0.0 for p in points]),
        span([found.target_error, *(p.drawn or 0.0 for p in points)]),
    ]
    said = notes(found, points, len(all_panels), len(shown))
    if work.spread and any(p.spread_s for p in points):
        said.append("Bars: the longest time less the shortest, around the median.")
    room = TITLE_ROOM if any(shown) else 0.05
    height = HEIGHT - TITLE_ROOM + room
    with sheet():
        figure, top = blank(title, entries(found), height * len(shown) + 0.1, said)
        for i, where in enumerate(shown):
            axes = place(figure, 0.95, top + room + height * i, height - room - AXIS_ROOM)
            axes.set_title(heading(found, where))
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlim(*limits[0])
            axes.set_ylim(*limits[1])
            _lines(axes, found, where, along, work)
            _ticks(axes.xaxis, *limits[0])
            decades(axes.yaxis)
            label(axes, work.text if i == len(shown) - 1 else "", "relative error", left=0.65)
    return Picture(
        f"work_precision_{work.name}", title, figure, _words(found, work), _numbers(found, work)
    )


def _along(found: Sweep) -> list[str]:
    """The axes that lines follow: a tolerance and a step size, of which a solver reads one.

    Where neither is varied, the argument of the problem that takes the most values.
    """
    varied = [name for name, values in found.axes.items() if len(values) > 1]
    tolerances = [name for name in GEOMETRIC if name in varied and name not in FIXED_ONLY]
    steps = [name for name in FIXED_ONLY if name in varied]
    if tolerances or steps:
        return [*tolerances[:1], *steps]
    numbers = [name for name in varied if is_numeric(found, name)]
    return sorted(numbers, key=lambda name: -len(found.axes[name]))[:1]


def _lines(
    axes: Axes, found: Sweep, where: dict[str, Any], along: Sequence[str], work: Work
) -> None:
    joined = any(name in GEOMETRIC for name in along)  # other problems are no line of work
    for name, look in looks(list(found.methods)).items():
        for line in _joined(at(found, name, where), along, work):
            draw(axes, line, look, joined=joined)
    finish(axes, found)
    for choice in found.choices:
        if choice.cheapest is not None and is_at(best := found.points[choice.cheapest], where):
            circle(axes, work.of(best), best.drawn)


def _joined(own: Sequence[SweepPoint], names: Sequence[str], work: Work) -> list[tuple[Spot, ...]]:
    """Polylines along the one axis that leaves the fewest of them.

    A solver does not look at every axis: what is equal for it is one point, and one line.
    """
    found: list[list[tuple[Spot, ...]]] = []
    for along in names or [""]:
        lines: dict[str, dict[Spot | int, Spot]] = {}
        for i, p in enumerate(own):
            others = ", ".join(f"{k}={option_text(v)}" for k, v in p.at.items() if k != along)
            spot = _spot(p, work)
            # A gap is where it is; what is equal is drawn once.
            lines.setdefault(others, {})[i if math.isnan(spot.y) else spot] = spot
        found.append(list(dict.fromkeys(tuple(line.values()) for line in lines.values())))
    return min(found, key=len)


def _spot(point: SweepPoint, work: Work) -> Spot:
    x, y = work.of(point), point.drawn
    if not x or y is None:
        return GAP
    return Spot(float(x), y, (point.spread_s or 0.0) * work.spread, point.uncertainty or 0.0)


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
            best = min(own, key=lambda p: p.drawn or math.inf)
            parts.append(f"{name} reaches {scientific(best.error)} at {general(work.of(best))}")
        else:
            parts.append(f"{name} has no point")
    return f"Relative gradient error against {work.text}: " + "; ".join(parts) + "."


def _numbers(found: Sweep, work: Work) -> Table:
    rows = [
        (
            p.method, *(option_text(v) for v in p.at.values()), general(work.of(p)),
            *([duration(p.spread_s) if p.repeats else NOTHING] if work.spread else []),
            p.failure or p.no_truth or uncertain(p.error, p.uncertainty),
        )
        for p in found.points
    ]  # fmt: skip
    words = frozenset({0, *(1 + i for i in range(len(found.axes)))})
    spread = ("longest − shortest",) if work.spread else ()
    columns = ("method", *found.axes, work.text, *spread, "error ± uncertainty")
    return Table(f"Error against {work.text}", columns, rows, words)
