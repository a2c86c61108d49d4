"""Two computations taking turns, and the ratio of their times."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Ratio:
    """Median of ours over theirs across the pairs, its range, and both medians in words."""

    median: float
    low: float
    high: float
    ours: str
    theirs: str


def alternate(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    pairs: int,
    scale: tuple[float, float] = (1.0, 1.0),
) -> Ratio:
    """Time ours and theirs in turn; ``scale`` divides each, by its number of evaluations, say."""
    ours(), theirs()
    times = [(timed(ours) / scale[0], timed(theirs) / scale[1]) for _ in range(pairs)]
    ratios = sorted(a / b for a, b in times)
    return Ratio(
        median(ratios),
        ratios[0],
        ratios[-1],
        said(median(a for a, _ in times)),
        said(median(b for _, b in times)),
    )


def timed(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def said(seconds: float) -> str:
    """Seconds for people."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds * 1e6:.1f} µs"
