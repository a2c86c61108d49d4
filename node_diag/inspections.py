"""The inspections of a check: what looks at f, and what is known when all have looked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from node_diag.errors import ProblemError
from node_diag.gradients.base import Setup
from node_diag.inspection import coupling, dependence, derivatives, stability, switches
from node_diag.problem import Problem
from node_diag.records import Inspection, Repeatability
from node_diag.references.base import Point
from node_diag.solvers.solution import Solution


def tasks(
    problem: Problem, setup: Setup, solution: Solution, *, noisy: bool
) -> dict[str, Callable[[], Any]]:
    """Looking at f along the forward trajectory; what f raises there the solve would have met.

    Of a noisy f, only what it depends on: whatever compares values of it would see its noise.
    """
    precise = problem.to(torch.float64, torch.device("cpu"))
    depends = {"what f depends on": partial(_look, dependence.inspect, precise, solution)}
    if noisy:
        return depends
    return {
        **depends,
        "derivatives of f": lambda: derivatives.inspect(precise, solution),
        "kinks of f": lambda: switches.inspect(problem, setup.forward.tableau, solution),
        "growth along the trajectory": partial(_look, stability.inspect, precise, setup, solution),
        "steps of the batch": partial(_look, coupling.inspect, problem, setup.forward, solution),
    }


def record(
    problem: Problem,
    done: Mapping[str, Any],
    doubts: list[Point],
    repeats: Repeatability,
) -> Inspection:
    """What the inspections saw, and what a closer look does where the reference has doubts.

    Args:
        problem: that of the tasks.
        done: the results of :func:`tasks`, by name.
        doubts: points at which the continuous reference rests on a derivative of f that
            differences do not confirm.
        repeats: what was seen first.
    """
    wrong, on_kinks = done.get("derivatives of f", ([], []))
    if doubts and not wrong:
        precise = problem.to(torch.float64, torch.device("cpu"))
        wrong = derivatives.look_closer(precise, doubts)
    return Inspection(
        repeatability=repeats,
        # Differences of what is rounded are none.
        derivatives=[] if repeats.rounded else wrong,
        on_kinks=[] if repeats.rounded else on_kinks,
        switches=done.get("kinks of f", []),
        stability=done.get("growth along the trajectory"),
        dependence=done["what f depends on"],
        coupling=done.get("steps of the batch"),
    )


def _look(inspect: Callable[..., Any], *arguments: Any) -> Any:
    """What an inspection finds; None of an f that autograd cannot go through."""
    try:
        return inspect(*arguments)
    except ProblemError:
        return None
