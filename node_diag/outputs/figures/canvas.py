"""An empty figure with a title and notes, and axes and a legend placed on it in inches."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from node_diag.outputs.figures.style import MUTED, SMALL

WIDTH = 7.2
"""Inches. At 12 points, text stays legible when the figure is printed at half this width."""
TITLE = 0.38
"""Inches of the strip at the top that holds the title."""
TITLE_ID = "title"
EDGE = 0.1
LEGEND_ROW = 0.26
NOTE_ROW = 0.22
_NOTE_CHARACTERS = 82
"""Of a note in one row, where capitals and digits are few."""
_LEGEND_CHARACTER, _LEGEND_HANDLE = 0.085, 0.64
"""Inches of an average character of a legend, and of its line and the gaps around it."""
_CHARACTER = 0.092
"""Inches of an average character of a label."""
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

Handle = Line2D | Patch


def blank(
    title: str, entries: Sequence[tuple[Handle, str]], height: float, notes: Sequence[str] = ()
) -> tuple[Figure, float]:
    """A figure with a title, a legend, ``height`` inches for axes, and small notes at the bottom.

    Gives the figure and the inches from its upper edge to where the axes may begin.
    """
    notes = [line for note in notes for line in textwrap.wrap(note, _NOTE_CHARACTERS)]
    columns = _columns([label for _, label in entries])
    rows = -(-len(entries) // columns) if entries else 0
    top = TITLE + LEGEND_ROW * rows + 0.12
    total = top + height + NOTE_ROW * len(notes) + 0.1 * bool(notes)
    figure = Figure(figsize=(WIDTH, total))
    figure.text(
        EDGE / WIDTH, 1 - EDGE / total, title, va="top", size=13, weight="bold", gid=TITLE_ID
    )
    if entries:
        figure.legend(
            *zip(*entries, strict=True),
            loc="upper left",
            bbox_to_anchor=(EDGE / WIDTH, 1 - TITLE / total),
            ncols=columns,
            columnspacing=1.2,
        )
    for i, note in enumerate(reversed(notes)):
        y = (EDGE + NOTE_ROW * i) / total
        figure.text(EDGE / WIDTH, y, note, size=SMALL, color=MUTED, va="bottom")
    return figure, top


def _columns(labels: Sequence[str]) -> int:
    """One row of legend entries if they fit next to each other, else as many as fit everywhere."""
    widths = [len(label) * _LEGEND_CHARACTER + _LEGEND_HANDLE for label in labels]
    if sum(widths) <= WIDTH - 2 * EDGE:
        return max(1, len(labels))
    return max(1, int((WIDTH - 2 * EDGE) / max(widths)))


def place(figure: Figure, left: float, top: float, height: float, right: float = 0.35) -> Axes:
    """Axes ``height`` inches high, ``top`` inches below the figure's upper edge."""
    total = figure.get_figheight()
    return figure.add_axes(
        (left / WIDTH, 1 - (top + height) / total, (WIDTH - left - right) / WIDTH, height / total)
    )


def label(axes: Axes, x: str, y: str = "", left: float = 0.0) -> None:
    """Axis labels at fixed places, which spares matplotlib measuring every tick label twice.

    ``left`` is where the y label goes, in inches left of the axes.
    """
    height, width = axes_inches(axes)
    axes.set_xlabel(x)
    axes.xaxis.set_label_coords(0.5, -0.34 / height)
    if y:
        axes.set_ylabel(y)
        axes.yaxis.set_label_coords(-left / width, 0.5)


def axes_inches(axes: Axes) -> tuple[float, float]:
    """Height and width of the axes."""
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("axes that are on no figure have no size")
    box = axes.get_position()
    return box.height * figure.get_figheight(), box.width * WIDTH


def label_width(labels: Sequence[str]) -> float:
    """Inches that tick labels need, with their distance from the axis."""
    return 0.25 + _CHARACTER * max((len(label) for label in labels), default=0)


def decades(axis: Axis) -> None:
    """Ticks of a logarithmic axis at powers of ten, seven at the most, as plain text."""
    axis.set_major_locator(LogLocator(numticks=7))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(power_of_ten))


def power_of_ten(value: float, _position: int | None = None) -> str:
    """``10⁻³`` for 0.001; without mathtext, which would read names as formulas too."""
    if not 0 < value < math.inf:
        return ""
    exponent = f"{value:e}".split("e")[1]
    return "10" + str(int(exponent)).translate(_SUPERSCRIPTS)
