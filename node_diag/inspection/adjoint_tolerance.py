"""Whether tighter tolerances of the reverse-time solve would make an adjoint right: it is run.

How far they have to be tightened is extrapolated from the error there is, which goes with the
tolerance; what is advised has then been seen.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from node_diag.errors import ProblemError, SolveError
from node_diag.gradients.base import GradientMethod, MethodRun, Setup, run
from node_diag.norms import norm
from node_diag.problem import Problem
from node_diag.records import Candidate
from node_diag.references.base import Reference, flatten

TRIES = 2
LEAST = 1e-2
"""A tolerance is tightened by this factor at least."""
TIGHTEST, ROUNDINGS = 1e-13, 10
"""Of a tolerance, and in units of the precision: below, a solve sees its own roundings and takes
ever smaller steps."""
MOST_STEPS = 20_000


def inspect(
    named: tuple[str, GradientMethod], problem: Problem, setup: Setup, truth: Reference, goal: float
) -> list[Candidate]:
    """Runs at tighter backward tolerances until one is within the goal, uncertainty included.

    Args:
        named: what the method is called, and the method.
        problem: as it is checked.
        setup: of the check.
        truth: continuous reference.
        goal: relative error that is small enough.
    """
    found: list[Candidate] = []
    scale, factor = 1.0, LEAST
    tightest = max(TIGHTEST, ROUNDINGS * torch.finfo(problem.dtype).eps)
    for _ in range(TRIES):
        scale *= factor
        rtol = max(float(f"{setup.backward.rtol * scale:.0e}"), tightest)
        if rtol >= setup.backward.rtol:
            break
        atol = float(f"{setup.backward.atol * scale:.0e}")
        few = min(setup.backward.max_steps, MOST_STEPS)
        backward = replace(setup.backward, rtol=rtol, atol=atol, max_steps=few)
        one = Candidate(
            solver="", rtol=setup.forward.rtol, atol=setup.forward.atol,
            control=setup.forward.control, adjoint_rtol=rtol, adjoint_atol=atol,
        )  # fmt: skip
        found.append(one)
        try:
            _judge(one, run(*named, problem, Setup(setup.forward, backward)), truth, goal)
        except (SolveError, ProblemError) as error:
            one.failure = str(error)
            break
        if one.met or not one.error or not math.isfinite(one.error):
            break
        factor = min(LEAST, goal / one.error / 2)
    return found


def error_of(done: MethodRun, truth: Reference) -> tuple[float, float]:
    """Relative error over z0 and all parameters, and its uncertainty."""
    gradient = flatten(done.gradient)[: truth.value.size - done.gradient.ts.numel()]
    value, bar = truth.value[: gradient.size], norm(truth.bar[: gradient.size])
    size = norm(value)
    error = norm(gradient - value) / size
    return error, bar / size * (1 + error)


def _judge(one: Candidate, done: MethodRun, truth: Reference, goal: float) -> None:
    one.error, one.uncertainty = error_of(done, truth)
    one.nfe = done.nfe_forward + done.nfe_backward
    one.n_accepted = done.solution.n_accepted
    one.met = one.error + one.uncertainty <= goal
