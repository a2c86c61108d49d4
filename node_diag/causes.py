"""The second look: what is run only once the errors are known, to say where they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from node_diag import recommendation
from node_diag.config import CheckConfig
from node_diag.diagnosis.gates import target_error
from node_diag.diagnosis.metrics import NOTICEABLE
from node_diag.errors import ProblemError, SolveError
from node_diag.gradients.base import Setup
from node_diag.inspection import (
    adjoint_tolerance,
    autocast,
    error_origin,
    nan_origin,
    step_size_terms,
)
from node_diag.measure.trajectory import DEPARTED
from node_diag.norms import norm
from node_diag.outcomes import Outcome
from node_diag.problem import Problem
from node_diag.recommendation import Search
from node_diag.records import Recommendation
from node_diag.references.base import Reference, Vector, flatten, slices
from node_diag.solvers.solution import Solution
from node_diag.truths import Truths

ORIGIN = "where errors arise"
Tasks = dict[str, Callable[[], Any]]


def tasks(
    problem: Problem,
    setup: Setup,
    config: CheckConfig,
    outcomes: list[Outcome],
    truths: Truths,
    solution: Solution,
) -> tuple[Tasks, Search | None]:
    """What there is to look at a second time, by name, and the search among it."""
    found: Tasks = {}
    truth = truths.continuous
    searching = None
    size = problem.layout.numel + sum(p.numel() for p in problem.params.values())
    if isinstance(truth, Reference) and norm(truth.value[:size]) > norm(truth.bar[:size]):
        searching = _search(problem, setup, config, truth, outcomes)
        found |= searching.tasks() if searching else {}
        suspects = _suspects(outcomes, truth.value[:size])
        if suspects:
            precise = problem.to(torch.float64, torch.device("cpu"))
            found[ORIGIN] = partial(error_origin.inspect, precise, truth, suspects)
        for outcome in _inaccurate(outcomes, setup, truth, problem):
            found[f"{outcome.name}: tighter"] = partial(
                adjoint_tolerance.inspect, (outcome.name, outcome.method), problem, setup, truth,
                min(target_error(config), NOTICEABLE),
            )  # fmt: skip
        for outcome in _under_autocast(outcomes, problem):
            found[f"{outcome.name}: without autocast"] = partial(
                autocast.inspect, (outcome.name, outcome.method), problem, setup, truth
            )
    for outcome in outcomes:
        gradient = _gradient(outcome, size)
        if gradient is None:
            if outcome.method.reconstructs:
                found[f"{outcome.name}: first NaN"] = partial(
                    _tried, nan_origin.along, problem, setup, solution
                )
            continue
        if not np.isfinite(gradient).all():
            found[f"{outcome.name}: first NaN"] = partial(
                _tried, nan_origin.inspect, outcome.name, outcome.method, problem, setup
            )
        elif outcome.name == "naive" and _visible(gradient, truths, size, config.rtol):
            found["naive: step-size terms"] = partial(
                _tried, step_size_terms.inspect, problem, setup, gradient, _held(truths, size)
            )
    return found, searching


def record(
    done: Mapping[str, Any], searching: Search | None, outcomes: list[Outcome]
) -> Recommendation | None:
    """Hand what was found to the methods it is about; the recommendation, if there is one."""
    origins = done.get(ORIGIN, {})
    for outcome in outcomes:
        outcome.error_origin = origins.get(outcome.name)
        outcome.nan_origin = done.get(f"{outcome.name}: first NaN")
        outcome.tightened = done.get(f"{outcome.name}: tighter", [])
        outcome.autocast = done.get(f"{outcome.name}: without autocast")
        outcome.step_size_terms = done.get(f"{outcome.name}: step-size terms")
    if searching is None:
        return None
    candidates = [c for name in searching.tasks() for c in done[name]]
    return recommendation.conclude(searching, candidates)


def _search(
    problem: Problem,
    setup: Setup,
    config: CheckConfig,
    truth: Reference,
    outcomes: list[Outcome],
) -> Search | None:
    runs = {o.name: o.run for o in outcomes if o.run is not None}
    saved = max((o.counts.saved_bytes for o in outcomes if o.counts), default=0)
    return _tried(recommendation.search, problem, setup, config, truth, runs, saved)


def _suspects(outcomes: list[Outcome], truth: Vector) -> dict[str, error_origin.Suspect]:
    found: dict[str, error_origin.Suspect] = {}
    for outcome in outcomes:
        gradient = _gradient(outcome, truth.size)
        if gradient is None or outcome.run is None or not outcome.run.backward.trail:
            continue
        if norm(gradient - truth) > NOTICEABLE * norm(truth):
            found[outcome.name] = error_origin.Suspect(gradient, outcome.run.backward.trail)
    return found


def _inaccurate(
    outcomes: list[Outcome], setup: Setup, truth: Reference, problem: Problem
) -> list[Outcome]:
    """Reverse-time methods that are off although their state followed the trajectory.

    Not those that leave a tensor out, which no tolerance brings back.
    """
    parts = slices(problem)
    size = parts.pop("ts").start
    value = truth.value[:size]
    return [
        outcome
        for outcome in outcomes
        if setup.backward.tableau.adaptive
        and (gradient := _gradient(outcome, size)) is not None
        and outcome.deviation is not None
        and bool((outcome.deviation.error <= DEPARTED).all())
        and norm(gradient - value) > NOTICEABLE * norm(value)
        and not _leaves_out(gradient, truth, parts.values())
    ]


def _under_autocast(outcomes: list[Outcome], problem: Problem) -> list[Outcome]:
    return [o for o in outcomes if o.run is not None and autocast.ran_under(o.name, problem)]


def _leaves_out(gradient: Vector, truth: Reference, parts: Iterable[slice]) -> bool:
    """Whether all that it gives for a tensor is zero, and the truth is not: twice its bar away."""
    return any(
        not gradient[part].any() and norm(truth.value[part]) > 2 * norm(truth.bar[part])
        for part in parts
    )


def _gradient(outcome: Outcome, size: int) -> Vector | None:
    return flatten(outcome.run.gradient)[:size] if outcome.run else None


def _held(truths: Truths, size: int) -> Vector:
    """The gradient of the accepted steps; where naive is visibly another, there is one."""
    assert isinstance(truths.discrete, Reference)
    return truths.discrete.value[:size]


def _visible(gradient: Vector, truths: Truths, size: int, rtol: float) -> bool:
    """Whether naive is not the derivative of the accepted steps."""
    if not isinstance(truths.discrete, Reference):
        return False
    held, bar = truths.discrete.value[:size], norm(truths.discrete.bar[:size])
    return norm(gradient - held) > max(10 * bar, rtol * norm(held))


def _tried(inspect: Callable[..., Any], *arguments: Any) -> Any:
    """What an inspection finds; None if the run it makes fails."""
    try:
        return inspect(*arguments)
    except (SolveError, ProblemError):
        return None
