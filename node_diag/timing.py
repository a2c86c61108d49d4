"""Times of the methods, told to their outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from node_diag.gradients.base import MethodRun, Setup, run
from node_diag.gradients.lookup import UserMethod
from node_diag.measure.clock import Times, time_runs
from node_diag.outcomes import Outcome
from node_diag.problem import Problem

NAME = "times of the methods"
MANY_CORES = 2**14
"""Entries of a tensor from which torch may use several cores for it: half of what it starts at."""


def time(
    outcomes: list[Outcome], problem: Problem, setup: Setup, repeats: int | None
) -> dict[str, Times | str]:
    """Times by method, or why one that went through once did not do so again."""
    plain = Setup(setup.forward, setup.backward)
    runs: dict[str, Callable[[], MethodRun]] = {}
    for one in outcomes:
        own = problem
        if isinstance(one.method, UserMethod):
            own = problem.to(problem.dtype, problem.device, copy=True)
        if one.run is not None:
            runs[one.name] = partial(run, one.name, one.method, own, plain)
    return {
        name: times if isinstance(times, Times) else f"it went through once, and then: {times}"
        for name, times in time_runs(runs, repeats).items()
    }


def record(times: Mapping[str, Times | str], outcomes: list[Outcome]) -> None:
    """Tell each outcome its times, or that it failed."""
    for outcome in outcomes:
        found = times.get(outcome.name)
        if isinstance(found, str):
            outcome.run, outcome.failure = None, found
        else:
            outcome.times = found


def leaves_a_core(problem: Problem) -> bool:
    """Whether one core is all that f can use: the other may do something else meanwhile."""
    return _largest_tensor(problem) < MANY_CORES


def _largest_tensor(problem: Problem) -> int:
    """Entries of the largest tensor f may meet: the state, a parameter, a layer's activations."""
    dims = [size for p in problem.params.values() for size in p.shape]
    rows = max(shape[:-1].numel() for shape in problem.layout.shapes)
    sizes = (p.numel() for p in problem.params.values())
    return max(problem.layout.numel, rows * max(dims, default=1), *sizes)
