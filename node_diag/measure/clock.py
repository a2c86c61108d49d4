"""Wall time of a gradient: plain runs with nothing else measured along."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from node_diag.gradients.base import GradientMethod, Setup, run
from node_diag.problem import Problem


@dataclass(frozen=True)
class Times:
    """Medians in seconds over ``repeats`` runs, and the spread of their totals."""

    forward_s: float
    backward_s: float
    repeats: int
    spread_s: float


def time_runs(
    name: str, method: GradientMethod, problem: Problem, setup: Setup, repeats: int
) -> Times:
    """Run a method ``repeats`` times. The caller has run it before, so that caches are warm.

    Raises:
        SolveError, ProblemError: as the method does.
    """
    runs = [run(name, method, problem, setup) for _ in range(max(repeats, 1))]
    totals = [one.forward_s + one.backward_s for one in runs]
    return Times(
        median(one.forward_s for one in runs),
        median(one.backward_s for one in runs),
        len(runs),
        max(totals) - min(totals),
    )
