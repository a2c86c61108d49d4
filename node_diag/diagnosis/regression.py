"""When one number is a regression of another.

Counts and bytes are exact and repeatable, so one more of anything is a regression. A gradient error
e is known to ±u, so the truth lies in [e − u, e + u]: it got worse if the intervals lie apart, the
new one above the old one and by more than ``SLACK`` of it, and better the other way round. The
slack is for other machines: their sums are rounded otherwise, which moves the accepted steps in
their last digits and an error by a tiny part of itself. Intervals that overlap decide nothing; if
the error itself or its upper bound rose more than ``LARGE`` times, that is said and fails, unless
the new error is zero within its own uncertainty and that grew no more than ``LARGE`` times either.
The distance of reverse-time states has no error bar and magnifies rounding, so it may double.
Seconds only fail if a limit was set on their ratio.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

SLACK = 1.01
"""By more than this factor, apart from uncertainties, an error has to grow to be a regression."""
LARGE = 10.0
"""An error that grew by more than this factor, and may or may not be one, is inconclusive."""
DOUBLED = 2.0
"""By more than this factor the distance of reverse-time states has to grow."""
NEGLIGIBLE = 1e-12
"""Distances of states below it are rounding: a few thousand ulps."""

Word = Literal["same", "better", "worse", "inconclusive", "missing", "new", "info"]


@dataclass(frozen=True)
class Judged:
    """How one number came out."""

    verdict: Word
    reason: str


def judge_count(a: float, b: float) -> Judged:
    """Exact: one more is a regression."""
    if a == b:
        return Judged("same", "")
    if b > a:
        return Judged("worse", f"{b - a:,.0f} more")
    return Judged("better", f"{a - b:,.0f} less")


def judge_distance(a: float, b: float) -> Judged:
    """Distances without an error bar: worse or better by a factor of two."""
    if max(a, b) <= NEGLIGIBLE:
        return Judged("same", "")
    if b > DOUBLED * max(a, NEGLIGIBLE):
        return Judged("worse", f"more than {DOUBLED:g} times the baseline's")
    if a > DOUBLED * max(b, NEGLIGIBLE):
        return Judged("better", f"less than 1/{DOUBLED:g} of the baseline's")
    return Judged("same", "")


def judge_error(a: float, u: float, b: float, v: float) -> Judged:
    """An error that was ``a`` ± ``u`` and is ``b`` ± ``v``; the rule stands above."""
    if math.isnan(u) or math.isnan(v):
        return Judged("inconclusive", "its uncertainty is not known")
    if math.isinf(a) and math.isinf(b):
        return Judged("same", "")
    if b - v > SLACK * (a + u):
        return Judged("worse", "larger by more than both uncertainties")
    if SLACK * (b + v) < a - u:
        return Judged("better", "smaller by more than both uncertainties")
    if b <= v and v <= LARGE * u:
        return Judged("same", "")
    if b > LARGE * a or b + v > LARGE * (a + u):
        return Judged("inconclusive", f"may be more than {LARGE:g} times larger: cannot be told")
    return Judged("same", "")


def judge_time(a: float, u: float, b: float, v: float, limit: float | None) -> Judged:
    """Times with their spreads, infinite for single runs: only a limit on the ratio can fail."""
    if not (math.isfinite(a) and math.isfinite(b) and a > 0):
        return Judged("info", "no ratio of times")
    ratio, low = f"{b / a:.2f} times as long", 0.0
    if math.isfinite(u + v):
        low = max(b - v / 2, 0.0) / (a + u / 2)
        high = (b + v / 2) / (a - u / 2) if a > u / 2 else math.inf
        ratio += f" ({low:.2f} to {high:.2f} with the spread of both)"
    else:
        ratio += " (single runs: the spread is not known)"
    if limit is None or b / a <= limit:
        return Judged("info", ratio)
    if low > limit:
        return Judged("worse", f"{ratio}; at most {limit:g} was asked for")
    return Judged("inconclusive", f"{ratio}; whether that is within {limit:g} cannot be told")
