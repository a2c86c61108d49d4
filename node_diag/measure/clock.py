"""Wall time of a gradient: plain runs with nothing else measured along."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from node_diag.gradients.base import GradientMethod, MethodRun, Setup, run
from node_diag.problem import Problem


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
    name: str, method: GradientMethod, problem: Problem, setup: Setup, repeats: int | None
) -> Times:
    """Run a method ``repeats`` times, or as often as pays if that is None.

    The caller has run something like it before, so that caches are warm.

    Raises:
        SolveError, ProblemError: as the method does.
    """
    runs: list[MethodRun] = []
    totals: list[float] = []
    while len(runs) < (repeats or MOST) and (
        repeats or len(runs) < FEWEST or sum(totals) < ENOUGH_S
    ):
        runs.append(run(name, method, problem, setup))
        totals.append(runs[-1].forward_s + runs[-1].backward_s)
    return Times(
        median(one.forward_s for one in runs),
        median(one.backward_s for one in runs),
        len(runs),
        max(totals) - min(totals),
    )
