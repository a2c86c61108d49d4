"""Central differences with a step chosen for every line, and a bar that says how well they know.

Along each line D(h) = [J(x + hv) − J(x − hv)] / 2h is taken at steps a factor r apart, with one
Richardson extrapolation T = (r² D(h/r) − D(h)) / (r² − 1). The pair of steps with the smallest bar

    2 |T − D(h/r)|  +  5 σ ‖w‖

wins: truncation as the extrapolation sees it, plus five standard deviations of the noise σ of J
carried through the weights w of the formula; σ is the noise at x, or half an ulp of the values at
the ends of the line where those are larger. But it has to be confirmed by the next finer pair:
truncation small beside the value, or the noise, in both, falling from one to the other, and values
that agree within both bars. Steps that are too large for the function (chaotic dynamics, a kink)
give values that agree by chance now and then.

Central differences at x on a kink settle on the mean of the slopes on its two sides, to the last
digit. So the bend B(h) = [J(x + hv) − 2 J(x) + J(x − hv)] / 2h, half the difference of the slopes,
is looked at as well: it falls with h where J is smooth, and stays where it has a kink at x. There
the bar is |B|: it reaches to the slopes on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from node_diag.references.base import Vector

RATIO = 3.7
"""Between neighbouring steps; no integer, or a periodic J may take all of them for its period."""
FIRST = 3.1e-5
"""Step of level 0, relative to the scale of the line."""
START = (0, 1, 2)
AT_ONCE, FEW_LINES = 3, 64
"""Finer levels taken in one call if so few lines want them: lanes cost less than calls."""
FINEST, COARSEST = 12, -3
"""Levels tried: 3.1e-5, 8.4e-6, 2.3e-6 at first, at most 1.6e-3 … 4.7e-12."""
HOPELESS = 1e-6
"""Relative bar above which a line that noise dominates may try coarser steps."""

SAME_BEND = 0.7
"""A bend that a step finer by RATIO changes by less than this factor, or its inverse, stays."""

Lines = NDArray[np.intp]
EPS = float(np.finfo(np.float64).eps)


class Taken(NamedTuple):
    """Differences along some lines at some steps, all of shape (m,).

    Attributes:
        difference: D.
        size: the larger |J| at the two ends.
        bend: B; NaN where J(x) is not known.
    """

    difference: Vector
    size: Vector
    bend: Vector


Quotients = Callable[[Lines, Vector], Taken]
"""(lines, relative steps) → what is taken there."""


def taken(ups: Vector, downs: Vector, apart: Vector, middle: Vector | float = np.nan) -> Taken:
    """From J at the two ends, their distance, and J(x)."""
    return Taken(
        (ups - downs) / apart,
        np.maximum(np.abs(ups), np.abs(downs)),
        ((ups - middle) + (downs - middle)) / apart,
    )


@dataclass
class Ladder:
    """Differences of every line at every level; NaN where none was taken.

    Attributes:
        levels: those of the rows.
        differences: (levels, lines).
        sizes: largest |J| behind each of them.
        bends: B of each of them.
        scale: (lines,), see :func:`climb`.
        sigma: noise of J at x.
        value, bar, chosen: of each line; ``chosen`` is the coarser level of its pair.
        kink: half the difference of the slopes on the two sides of x; 0 where J is smooth.
    """

    levels: list[int]
    differences: Vector
    sizes: Vector
    bends: Vector
    scale: Vector
    sigma: float
    value: Vector
    bar: Vector
    chosen: Vector
    kink: Vector

    @property
    def solves(self) -> int:
        """Solves the differences took."""
        return 2 * int(np.count_nonzero(~np.isnan(self.differences)))


def step(level: int) -> float:
    """Relative step of a level."""
    return FIRST / RATIO**level


@np.errstate(all="ignore")  # losses of 1e300 and more are only ever compared
def climb(quotients: Quotients, scale: Vector, sigma: float) -> Ladder:
    """Differentiate along every line.

    Args:
        quotients: central differences.
        scale: (lines,); a relative step h moves the inputs by h · scale along the unit line.
        sigma: standard deviation of the noise of J.
    """
    levels = list(range(COARSEST, FINEST + 1))
    found = Ladder(
        levels=levels,
        differences=np.full((len(levels), scale.size), np.nan),
        sizes=np.full((len(levels), scale.size), np.nan),
        bends=np.full((len(levels), scale.size), np.nan),
        scale=scale,
        sigma=sigma,
        value=np.empty(scale.size),
        bar=np.empty(scale.size),
        chosen=np.empty(scale.size),
        kink=np.zeros(scale.size),
    )
    _take(found, quotients, START, np.arange(scale.size))
    _choose(found)
    _refine(found, quotients)
    _coarsen(found, quotients)
    found.kink = _kinks(found)
    found.bar = np.maximum(found.bar, np.abs(found.kink))
    return found


def _take(ladder: Ladder, quotients: Quotients, levels: Sequence[int], lines: Lines) -> None:
    """The differences of some levels, all in one call."""
    steps = np.repeat([step(level) for level in levels], lines.size)
    found = quotients(np.tile(lines, len(levels)), steps)
    rows = np.array([ladder.levels.index(level) for level in levels])[:, None]
    tables = (ladder.differences, ladder.sizes, ladder.bends)
    for kept, values in zip(tables, found, strict=True):
        kept[rows, lines] = values.reshape(len(levels), lines.size)


def parts(ladder: Ladder, row: int) -> tuple[Vector, Vector, Vector]:
    """T, truncation and noise of the pair of rows (row, row + 1), (lines,) each."""
    factor = RATIO**2
    coarse, fine = ladder.differences[row], ladder.differences[row + 1]
    value = (factor * fine - coarse) / (factor - 1)
    big, small = (step(ladder.levels[i]) * ladder.scale for i in (row, row + 1))
    # T is a sum of four values of J with these weights.
    weight = np.sqrt(
        2 * (factor / (factor - 1) / (2 * small)) ** 2 + 2 * (1 / (factor - 1) / (2 * big)) ** 2
    )
    sigma = np.maximum(ladder.sigma, 0.5 * EPS * np.fmax(ladder.sizes[row], ladder.sizes[row + 1]))
    return value, 2 * np.abs(value - fine), 5 * sigma * weight


def _choose(ladder: Ladder) -> None:
    pairs = [parts(ladder, row) for row in range(len(ladder.levels) - 1)]
    values = np.stack([value for value, _, _ in pairs])
    bars = np.stack([truncation + noise for _, truncation, noise in pairs])
    # A NaN, of a value that is not finite or was not taken, confirms nothing.
    confirmed = np.abs(values[:-1] - values[1:]) <= bars[:-1] + bars[1:]
    # Asymptotically truncation is small and falls r²-fold from pair to pair, down to the noise.
    truncations = np.stack([truncation for _, truncation, _ in pairs])
    noises = np.stack([noise for _, _, noise in pairs])
    small = truncations <= np.maximum(0.1 * np.abs(values), noises)
    falls = truncations[1:] <= 0.5 * truncations[:-1] + noises[1:]
    confirmed &= small[:-1] & small[1:] & falls
    bars[:-1][~confirmed] = np.inf
    bars[-1] = np.inf
    rows = np.argmin(bars, axis=0)
    lines = np.arange(bars.shape[1])
    ladder.value = values[rows, lines]
    ladder.bar = bars[rows, lines]
    ladder.chosen = np.asarray(ladder.levels)[rows]


def _refine(ladder: Ladder, quotients: Quotients) -> None:
    """Finer steps while truncation dominates at the finest pair, or none is confirmed."""
    level = START[-1] + 1
    while level <= FINEST:
        _, truncation, noise = parts(ladder, ladder.levels.index(level) - 3)
        at_the_end = (ladder.chosen == level - 3) & ~(truncation <= noise)
        lines = np.flatnonzero(at_the_end | ~np.isfinite(ladder.bar))
        if not lines.size:
            return
        count = AT_ONCE if lines.size <= FEW_LINES else 1
        levels = range(level, min(level + count, FINEST + 1))
        _take(ladder, quotients, levels, lines)
        _choose(ladder)
        level = levels.stop


def _coarsen(ladder: Ladder, quotients: Quotients) -> None:
    """Coarser steps where noise drowns the derivative; kept if the finer ones do not object."""
    for level in range(START[0] - 1, COARSEST - 1, -1):
        row = ladder.levels.index(level)
        size = np.maximum(np.abs(ladder.value), 1e-3 * np.linalg.norm(ladder.value))
        drowned = (ladder.chosen == level + 1) & (ladder.bar > HOPELESS * size)
        lines = np.flatnonzero(drowned)
        if not lines.size:
            return
        before, bar = ladder.value.copy(), ladder.bar.copy()
        _take(ladder, quotients, [level], lines)
        value, _, _ = parts(ladder, row)
        objections = lines[~(np.abs(value - before)[lines] <= bar[lines])]
        ladder.differences[row, objections] = np.nan
        _choose(ladder)


def _kinks(ladder: Ladder) -> Vector:
    """The bend at the finest step behind each line's value, where it stays as steps shrink."""
    if not ladder.scale.size:
        return np.zeros(0)
    rows = np.searchsorted(ladder.levels, ladder.chosen)[:, None] + np.arange(3)
    bends = ladder.bends[np.minimum(rows, len(ladder.levels) - 1), np.arange(len(rows))[:, None]]
    change = np.abs(bends[:, 1:] / bends[:, :-1])
    stays = ((change > SAME_BEND) & (change < 1 / SAME_BEND)).all(axis=1)
    # B adds up four values of J.
    finest = ladder.scale * FIRST / RATIO ** (ladder.chosen + 2)
    stays &= np.abs(bends[:, 2]) > 10 * np.maximum(ladder.bar, ladder.sigma / finest)
    return np.where(stays & np.isfinite(ladder.bar), bends[:, 2], 0.0)
