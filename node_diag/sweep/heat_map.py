"""Error over two axes, a panel for every method; where a sweep has two of more than one value."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LogNorm

from node_diag.config import option_text
from node_diag.outputs.figures.canvas import (
    WIDTH,
    blank,
    label_width,
    place,
    power_of_ten,
)
from node_diag.outputs.figures.style import INK, SMALL, sheet
from node_diag.outputs.numbers import scientific, uncertain
from node_diag.outputs.picture import Picture
from node_diag.outputs.table import Table
from node_diag.records.sweep import Sweep, SweepPoint

ROW, LEAST_HEIGHT = 0.32, 0.7
GAP, RIGHT = 0.45, 0.35
"""Inches between panels, which the title of the lower one is in; right of them."""
ROOM_FOR_DIGITS, ROOM_FOR_A_POWER = 0.75, 0.45
"""Inches of a cell that hold 1.7e-03, and 10⁻³."""
MOST_CELLS = 40
"""On an axis; more are no map that can be read."""
BLACK, WHITE = "#000000", "#ffffff"
"""Of numbers on colours; ink and paper change with the page, and these colours do not."""
MIDDLE = 0.179
"""Relative luminance at which black and white have the same contrast: (L + 0.05)² = 0.05 · 1.05."""


def pictures(found: Sweep) -> list[Picture]:
    """The map, if there is one."""
    wide = [name for name, values in found.axes.items() if len(values) > 1]
    if len(wide) != 2 or any(len(found.axes[name]) > MOST_CELLS for name in wide):
        return []
    # An error of 0 takes the lightest colour, and does not stretch the scale.
    drawn = [p for p in found.points if p.drawn is not None]
    known = [p.drawn for p in drawn if p.error and p.drawn] or [p.drawn or 0.0 for p in drawn]
    return [_picture(found, wide[0], wide[1], known)] if known else []


def _picture(found: Sweep, down: str, across: str, known: list[float]) -> Picture:
    rows, columns = found.axes[down], found.axes[across]
    height = max(LEAST_HEIGHT, ROW * len(rows))
    left = 0.35 + 0.1 * max(len(option_text(v)) for v in rows) + 0.35
    room = (WIDTH - left - RIGHT) / len(columns)
    every = math.ceil(label_width([option_text(v) for v in columns]) / room)
    title = f"Gradient error over {down} and {across}"
    scale = LogNorm(min(known), max(max(known), 1.001 * min(known)), clip=True)
    colours = colormaps["viridis_r"]
    by_place = {
        (p.method, option_text(p.at[down]), option_text(p.at[across])): p for p in found.points
    }
    notes = ["Darker is further off. Crossed out: failed, or the error cannot be known."]
    with sheet():
        figure, top = blank(title, [], (height + GAP) * len(found.methods) + 0.5, notes)
        for i, method in enumerate(found.methods):
            axes = place(figure, left, top + 0.25 + (height + GAP) * i, height, RIGHT)
            grid = [
                [by_place[method, option_text(r), option_text(c)] for c in columns] for r in rows
            ]
            errors = np.array([[_drawn(p) for p in line] for line in grid])
            axes.imshow(errors, norm=scale, cmap=colours, aspect="auto")
            axes.grid(visible=False)
            axes.set_title(method)
            last = i == len(found.methods) - 1
            ticks = range(0, len(columns), every)
            axes.set_xticks(ticks, [option_text(columns[x]) if last else "" for x in ticks])
            axes.set_yticks(range(len(rows)), [option_text(v) for v in rows])
            axes.set_ylabel(down)
            if last:
                axes.set_xlabel(across)
            for y, line in enumerate(grid):
                for x, point in enumerate(line):
                    error = _drawn(point)
                    ink = INK if math.isnan(error) else _readable(colours(scale(error)))
                    axes.text(
                        x, y, "×" if math.isnan(error) else _short(point.error or 0.0, room),
                        ha="center", va="center", size=SMALL, color=ink,
                    )  # fmt: skip
    least, worst = (f(p.error or 0.0 for p in found.points if p.drawn) for f in (min, max))
    description = (
        f"Relative gradient error of every method over {down} and {across}, from "
        f"{scientific(least)} to {scientific(worst)}."
    )
    return Picture("heat_map", title, figure, description, _numbers(found, down, across))


def _drawn(point: SweepPoint) -> float:
    return math.nan if point.drawn is None else point.drawn


def _readable(colour: Sequence[float]) -> str:
    """Black or white, whichever has more contrast on a colour; as WCAG computes it."""
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]
    )
    return BLACK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > MIDDLE else WHITE


def _short(error: float, room: float) -> str:
    if error == 0.0 or room > ROOM_FOR_DIGITS:
        return scientific(error)
    if room < ROOM_FOR_A_POWER:
        return ""  # the colour says it
    return power_of_ten(10.0 ** round(math.log10(error)))


def _numbers(found: Sweep, down: str, across: str) -> Table:
    rows = [
        (
            p.method, option_text(p.at[down]), option_text(p.at[across]),
            p.failure or p.no_truth or uncertain(p.error, p.uncertainty),
        )
        for p in found.points
    ]  # fmt: skip
    columns = ("method", down, across, "error ± uncertainty")
    return Table(f"Error over {down} and {across}", columns, rows, frozenset({0, 1, 2}))
