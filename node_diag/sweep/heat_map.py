"""Error over two axes, a panel for every method; where a sweep has two of more than one value."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.colors import LogNorm

from node_diag.config import option_text
from node_diag.outputs.figures.canvas import blank, place, power_of_ten
from node_diag.outputs.figures.style import INK, PAPER, SMALL, sheet
from node_diag.outputs.numbers import scientific, uncertain
from node_diag.outputs.picture import Picture
from node_diag.outputs.table import Table
from node_diag.records.sweep import Sweep, SweepPoint

ROW, LEAST_HEIGHT = 0.32, 0.7
MOST_CELLS = 40
"""On an axis; more are no map that can be read."""
DARK = 0.55
"""Of the colour scale, above which numbers on it are light."""


def pictures(found: Sweep) -> list[Picture]:
    """The map, if there is one."""
    wide = [name for name, values in found.axes.items() if len(values) > 1]
    if len(wide) != 2 or any(len(found.axes[name]) > MOST_CELLS for name in wide):
        return []
    known = [p.error for p in found.points if p.error is not None and 0 < p.error < math.inf]
    return [_picture(found, wide[0], wide[1], known)] if known else []


def _picture(found: Sweep, down: str, across: str, known: list[float]) -> Picture:
    rows, columns = found.axes[down], found.axes[across]
    height = max(LEAST_HEIGHT, ROW * len(rows))
    title = f"Gradient error over {down} and {across}"
    scale = LogNorm(min(known), max(max(known), 1.001 * min(known)))
    by_place = {
        (p.method, option_text(p.at[down]), option_text(p.at[across])): p for p in found.points
    }
    notes = ["Darker is further off. Crossed out: failed, or the error cannot be known."]
    with sheet():
        figure, top = blank(title, [], (height + 0.95) * len(found.methods) + 0.1, notes)
        for i, method in enumerate(found.methods):
            left = 0.35 + 0.1 * max(len(option_text(v)) for v in rows) + 0.35
            axes = place(figure, left, top + 0.35 + (height + 0.95) * i, height)
            grid = [
                [by_place[method, option_text(r), option_text(c)] for c in columns] for r in rows
            ]
            errors = np.array([[_drawn(p) for p in line] for line in grid])
            axes.imshow(errors, norm=scale, cmap="viridis_r", aspect="auto")
            axes.grid(visible=False)
            axes.set_title(method)
            axes.set_xticks(range(len(columns)), [option_text(v) for v in columns])
            axes.set_yticks(range(len(rows)), [option_text(v) for v in rows])
            axes.set_ylabel(down)
            if i == len(found.methods) - 1:
                axes.set_xlabel(across)
            for y, line in enumerate(grid):
                for x, point in enumerate(line):
                    error = _drawn(point)
                    dark = not math.isnan(error) and scale(error) > DARK
                    axes.text(
                        x, y, "×" if math.isnan(error) else _short(error),
                        ha="center", va="center", size=SMALL, color=PAPER if dark else INK,
                    )  # fmt: skip
    worst = max(known)
    description = (
        f"Relative gradient error of every method over {down} and {across}, from "
        f"{scientific(min(known))} to {scientific(worst)}."
    )
    return Picture("heat_map", title, figure, description, _numbers(found, down, across))


def _drawn(point: SweepPoint) -> float:
    error = point.error
    return error if error is not None and 0 < error < math.inf else math.nan


def _short(error: float) -> str:
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
