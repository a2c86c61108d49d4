"""One style for all figures: sizes, neutral colours, and a colour, dash and marker per method.

The first series colours are Okabe and Ito's, the others were chosen to be as far from them as can
be for people with any colour-blindness, with a contrast of 3 to the page; dashes and markers repeat
the distinction, so that colour is never the only cue.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl

INK, MUTED, RULE, BAND, PAPER = "#1b1f24", "#57606a", "#d8dee4", "#eaeef2", "#fffffe"
"""Text, secondary text, grid, uncertainty band, background: the same greys as the HTML page."""

BASE, SMALL = 12, 11
"""Points. Nothing is smaller: at half the width, as in a column of a paper, 5.5 remain."""


@dataclass(frozen=True)
class Look:
    """How one method is drawn."""

    colour: str
    dash: Any
    marker: str


_LOOKS = (
    Look("#0072b2", "solid", "o"),
    Look("#d55e00", (0, (5, 2)), "s"),
    Look("#009e73", (0, (1, 1.2)), "D"),
    Look("#c977a5", (0, (5, 1.5, 1, 1.5)), "^"),
    Look("#6d5100", (0, (3, 1, 1, 1, 1, 1)), "v"),
    Look("#2493ff", (0, (8, 2)), "P"),
)
_USUAL = {"aca": 0, "adjoint": 1, "naive": 2, "direct": 3}
"""The same method looks the same in every report."""

SERIES_COLOURS = tuple(look.colour for look in _LOOKS)

_SHEET: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": BASE,
    "axes.titlesize": BASE,
    "axes.titlelocation": "left",
    "axes.labelsize": BASE,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "text.parse_math": False,
    "text.hinting": "none",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.borderaxespad": 0,
    "legend.borderpad": 0,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "none",
    "svg.hashsalt": "node-diag",
}


@contextmanager
def sheet() -> Generator[None]:
    """The style, on top of matplotlib's own defaults: a user's matplotlibrc changes nothing.

    Inside another one it does nothing: every setting is looked at again each time, 2 ms.
    """
    if mpl.rcParams["svg.hashsalt"] == _SHEET["svg.hashsalt"]:
        yield
        return
    # The backend stays as it is: no canvas of ours asks for it, and resetting it loads pyplot.
    defaults = {key: mpl.rcParamsDefault[key] for key in mpl.rcParamsDefault if key != "backend"}
    settings: Any = {**defaults, **_SHEET}
    with mpl.rc_context(settings):
        yield


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for every method; those that are not known take the ones left over, in order."""
    taken = {_USUAL[name] for name in names if name in _USUAL}
    free = [i for i in range(len(_LOOKS)) if i not in taken] or list(range(len(_LOOKS)))
    found: dict[str, Look] = {}
    for name in names:
        strangers = sum(other not in _USUAL for other in found)
        found[name] = _LOOKS[_USUAL.get(name, free[strangers % len(free)])]
    return found
