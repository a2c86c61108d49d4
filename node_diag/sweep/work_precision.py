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
from matplotlib.lines import Line2D

from node_diag.config import option_text
from node_diag.outputs.figures.canvas import Handle, blank, decades, label, place
from node_diag.outputs.figures.style import INK, MUTED, looks, sheet
from node_diag.outputs.numbers import general, scientific, uncertain
from node_diag.outputs.picture import Picture
from node_diag.outputs.table import Table
from node_diag.records.sweep import Sweep, SweepPoint
from node_diag.sweep.axes import GEOMETRIC

HEIGHT = 2.5
MOST_PANELS = 12


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
    if len(panels) > len(shown):
        notes.append(f"The first {len(shown)} of {len(panels)} panels; points.csv has them all.")
    title = f"Gradient error against {work.text.partition(',')[0]}"
    points = [p for p in found.points if _visible(p, work)]
    limits = [_span([work.of(p) or 0.0 for p in points]), _span([p.error or 0.0 for p in points])]
    with sheet():
        figure, top = blank(title, entries, HEIGHT * len(shown) + 0.35, notes)
        for i, where in enumerate(shown):
            axes = place(figure, 0.95, top + 0.3 + HEIGHT * i, HEIGHT - 0.85)
            axes.set_title(", ".join(f"{k} = {option_text(v)}" for k, v in where.items()))
            axes.set_xscale("log")
            axes.set_yscale("log")
            _lines(axes, found, where, work)
            axes.set_xlim(*limits[0])
            axes.set_ylim(*limits[1])
            decades(axes.xaxis)
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
        own.sort(key=lambda p: (work.of(p) or 0.0, -(p.error or 0.0)))
        axes.plot(
            [work.of(p) or math.nan for p in own],
            [p.error or math.nan for p in own],
            color=look.colour, ls=look.dash, marker=look.marker, label=name,
        )  # fmt: skip
    axes.axhline(found.target_error, color=MUTED, ls=":", lw=1.2)
    if found.cheapest is not None:
        best = found.points[found.cheapest]
        if all(best.at[k] == v for k, v in where.items()) and _visible(best, work):
            axes.plot([work.of(best)], [best.error], "o", mfc="none", mec=INK, ms=13, mew=1.4)  # pyright: ignore[reportArgumentType]


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Whole powers of ten around them."""
    # No point lies on the frame.
    low = math.floor(math.log10(min(values) / 1.5))
    high = math.ceil(math.log10(1.5 * max(values)))
    return 10.0**low, 10.0 ** max(high, low + 1)


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
