"""Error along an argument of the problem: where it stops being easy, and for which method."""

from __future__ import annotations

import math

from matplotlib.ticker import MaxNLocator

from node_diag.config import option_text
from node_diag.outputs.figures.canvas import blank, decades, label, place
from node_diag.outputs.figures.style import looks, sheet
from node_diag.outputs.numbers import scientific, uncertain
from node_diag.outputs.picture import Picture
from node_diag.outputs.table import Table
from node_diag.records.sweep import Sweep
from node_diag.sweep.choosing import is_at
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

FEWEST = 3
"""Values of an argument from which on they are a line."""
LABELS = ("seed",)
"""Numbers that are none: there is nothing between two of them."""
WIDE = 100.0
"""From end to end: more is drawn on a logarithmic axis."""


def pictures(found: Sweep) -> list[Picture]:
    """One for every argument that is a number and takes enough values."""
    if not any(point.drawn for point in found.points):
        return []
    return [
        _picture(found, name)
        for name, values in found.axes.items()
        if len(values) >= FEWEST and is_numeric(found, name) and name not in LABELS
    ]


def _picture(found: Sweep, name: str) -> Picture:
    everything = panels(found, [name])
    shown = everything[:MOST_PANELS]
    points = [point for point in found.points if point.drawn is not None]
    title = f"Gradient error along {name}"
    values = [float(value) for value in found.axes[name]]
    said = notes(found, points, len(everything), len(shown))
    room = TITLE_ROOM if any(shown) else 0.05
    height = HEIGHT - TITLE_ROOM + room
    limits = span([found.target_error, *(point.drawn or 0.0 for point in points)])
    with sheet():
        figure, top = blank(title, entries(found), height * len(shown) + 0.1, said)
        for i, where in enumerate(shown):
            axes = place(figure, 0.95, top + room + height * i, height - room - AXIS_ROOM)
            axes.set_title(heading(found, where))
            if min(values) > 0 and max(values) > WIDE * min(values):
                axes.set_xscale("log")
                decades(axes.xaxis)
            elif all(value.is_integer() for value in values):
                axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_yscale("log")
            axes.set_ylim(*limits)
            for method, look in looks(list(found.methods)).items():
                line = [
                    Spot(float(p.at[name]), p.drawn or math.nan, 0.0, p.uncertainty or 0.0)
                    for p in at(found, method, where)
                ]
                draw(axes, sorted(line, key=lambda spot: spot.x), look)
            finish(axes, found)
            for choice in found.choices:
                if choice.cheapest is None:
                    continue
                if is_at(best := found.points[choice.cheapest], where):
                    circle(axes, float(best.at[name]), best.drawn)
            decades(axes.yaxis)
            label(axes, name if i == len(shown) - 1 else "", "relative error", left=0.65)
    return Picture(f"along_{name}", title, figure, _words(found, name), _numbers(found, name))


def _words(found: Sweep, name: str) -> str:
    parts: list[str] = []
    for method in found.methods:
        own = [p for p in found.points if p.method == method and p.drawn is not None]
        if not own:
            parts.append(f"{method} has no point")
            continue
        low, high = (f(own, key=lambda p: p.drawn or math.inf) for f in (min, max))
        parts.append(
            f"{method} from {scientific(low.error)} at {option_text(low.at[name])} to "
            f"{scientific(high.error)} at {option_text(high.at[name])}"
        )
    return f"Relative gradient error along {name}: " + "; ".join(parts) + "."


def _numbers(found: Sweep, name: str) -> Table:
    names = [name, *(other for other in found.axes if other != name)]
    rows = [
        (
            p.method, *(option_text(p.at[other]) for other in names),
            p.failure or p.no_truth or uncertain(p.error, p.uncertainty),
        )
        for p in found.points
    ]  # fmt: skip
    columns = ("method", *names, "error ± uncertainty")
    return Table(f"Error along {name}", columns, rows, frozenset(range(1 + len(names))))
