"""What the diagrams of a sweep share: which points can be drawn, a panel for each combination."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from node_diag.config import option_text
from node_diag.outputs.figures.canvas import Handle
from node_diag.outputs.figures.style import INK, MUTED, Look, looks
from node_diag.records.sweep import Sweep, SweepPoint
from node_diag.sweep.choosing import is_at, looked_at, problem_axes

MOST_PANELS = 12
HEIGHT = 2.5
"""Inches of a panel with its title and its axis."""
TITLE_ROOM, AXIS_ROOM = 0.3, 0.55
"""Of those above its axes, where it has a title, and below them."""
NO_POINT = "A method that failed, or whose error cannot be known, has no point."
EXACT = "An error of 0 is drawn where its uncertainty is."
CIRCLED = "Circled: fewest evaluations of f among those that meet the target"
SEEN = 0.05
"""Of an error: an uncertainty that is less cannot be seen on a logarithmic axis."""


@dataclass(frozen=True)
class Spot:
    """A point of a diagram, or the gap that one leaves."""

    x: float
    y: float
    width: float = 0.0
    """From end to end, of the times that it is the median of."""
    height: float = 0.0
    """Uncertainty, up and down."""


def panels(found: Sweep, along: Sequence[str]) -> list[dict[str, Any]]:
    """Every combination of values of the other axes that is another one to the solver there."""
    names = [name for name in found.axes if name not in along and len(found.axes[name]) > 1]
    kept: dict[str, dict[str, Any]] = {}
    for values in product(*(found.axes[name] for name in names)):
        at = dict(zip(names, values, strict=True))
        kept.setdefault(repr(looked_at(found, at)), at)
    return list(kept.values())


def is_numeric(found: Sweep, name: str) -> bool:
    """Whether an axis is an argument of the problem, and a number."""
    values = found.axes[name]
    plain = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return plain and name in problem_axes(found.axes, found.varied_options)


def heading(found: Sweep, where: Mapping[str, Any]) -> str:
    """What a panel is of."""
    read = looked_at(found, where)
    return ", ".join(f"{name} = {option_text(value)}" for name, value in read.items())


def entries(found: Sweep) -> list[tuple[Handle, str]]:
    """A legend of the methods and the target."""
    styles = looks(list(found.methods))
    lines: list[tuple[Handle, str]] = [
        (Line2D([], [], color=styles[m].colour, ls=styles[m].dash, marker=styles[m].marker), m)
        for m in found.methods
    ]
    return [*lines, (Line2D([], [], color=MUTED, ls=":"), "target")]


def notes(found: Sweep, points: Sequence[SweepPoint], more: int, shown: int) -> list[str]:
    """What has to be said below a diagram of these points, ``shown`` of ``more`` panels."""
    said = [NO_POINT] if any(point.drawn is None for point in found.points) else []
    if any(point.error == 0.0 for point in points):
        said.append(EXACT)
    if best := [found.points[c.cheapest] for c in found.choices if c.cheapest is not None]:
        each = f", at each {' and '.join(found.choices[0].at)}" if len(found.choices) > 1 else ""
        drawn = set(map(id, points))
        if any(id(point) in drawn for point in best):
            said.append(f"{CIRCLED}{each}.")
    if more > shown:
        said.append(f"The first {shown} of {more} panels; points.csv has them all.")
    return said


def at(found: Sweep, method: str, where: Mapping[str, Any]) -> list[SweepPoint]:
    """The points of a method in a panel."""
    return [p for p in found.points if p.method == method and is_at(p, where)]


def draw(axes: Axes, line: Sequence[Spot], look: Look, *, joined: bool = True) -> None:
    """A line, if they are ``joined``, with a gap where there is no point; bars that can be seen."""
    axes.plot(
        [spot.x for spot in line], [spot.y for spot in line],
        color=look.colour, ls=look.dash if joined else "", marker=look.marker,
    )  # fmt: skip
    bars = [spot for spot in line if math.isfinite(spot.y) and spot.height > SEEN * spot.y]
    for spot in bars:
        # To the frame, where the error may be none at all.
        least = max(spot.y - spot.height, axes.get_ylim()[0])
        axes.vlines(spot.x, least, spot.y + spot.height, color=look.colour, lw=1.2)
    for spot in line:
        if spot.width > SEEN * spot.x:
            half = spot.width / 2
            least = max(spot.x - half, axes.get_xlim()[0])
            axes.hlines(spot.y, least, spot.x + half, color=look.colour, lw=1.2)


def finish(axes: Axes, found: Sweep) -> None:
    """The target; and a word where there is nothing."""
    if not any(math.isfinite(y) for line in axes.lines for y in list(line.get_ydata())):  # pyright: ignore[reportArgumentType]
        axes.text(0.5, 0.5, "no point", transform=axes.transAxes, ha="center", color=MUTED)
    axes.axhline(found.target_error, color=MUTED, ls=":", lw=1.2)


def circle(axes: Axes, x: float | None, y: float | None) -> None:
    """Around the point to take."""
    if x is not None and y is not None:
        axes.plot([x], [y], "o", mfc="none", mec=INK, ms=13, mew=1.4, clip_on=False)


def span(values: Sequence[float]) -> tuple[float, float]:
    """Around them, so that no point lies on the frame, with room for two decades or more."""
    low, high = math.log10(min(values)), math.log10(max(values))
    edge = max(0.06 * (high - low), 1.0 - (high - low) / 2)
    return 10.0 ** (low - edge), 10.0 ** (high + edge)
