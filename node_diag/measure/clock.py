"""Wall time of a gradient: plain runs with nothing else measured along."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from node_diag.errors import ProblemError, SolveError
from node_diag.gradients.base import MethodRun


@dataclass(frozen=True)
class Times:
    """Medians in seconds over ``repeats`` runs, and the spread of their totals."""

    forward_s: float
    backward_s: float
    repeats: int
    spread_s: float


ENOUGH_S = 0.25
FEWEST, MOST = 2, 5
"""Unless told how often: until so many seconds are spent, but within these numbers of runs."""


def time_runs(
    runs: Mapping[str, Callable[[], MethodRun]], repeats: int | None
) -> dict[str, Times | ProblemError | SolveError]:
    """Times of some methods, each run ``repeats`` times, or as often as pays if that is None.

    They take turns, in one order and then in the other: whatever else the machine does meets all
    of them, so that their ratios hold where the times themselves are too long. The caller has run
    something like each before, so that caches are warm. What a run raises ends its turns.
    """
    done: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    failed: dict[str, ProblemError | SolveError] = {}
    order = list(runs)
    for turn in range(repeats or MOST):
        for name in order if turn % 2 == 0 else reversed(order):
            enough = repeats is None and turn >= FEWEST and sum(map(sum, done[name])) >= ENOUGH_S
            if name in failed or enough:
                continue
            try:
                found = runs[name]()
            except (ProblemError, SolveError) as error:
                failed[name] = error
            else:
                done[name].append((found.forward_s, found.backward_s))
                del found  # it may hold a graph, and another method's turn is next
    return {name: failed.get(name) or _times(seconds) for name, seconds in done.items()}


def _times(seconds: list[tuple[float, float]]) -> Times:
    forward, backward = zip(*seconds, strict=True)
    totals = [sum(pair) for pair in seconds]
    return Times(median(forward), median(backward), len(seconds), max(totals) - min(totals))
