"""What differentiating the step-size search adds, split by where it enters.

The naive gradient minus that of the accepted steps is the derivative of the step sizes: of the
starting step, and of the factors the controller multiplies it by. They are let into the graph one
kind after another, so the parts add up to the whole.
"""

from __future__ import annotations

import numpy as np
import torch

from node_diag.field import Field
from node_diag.gradients.base import Setup, loss_vjp
from node_diag.gradients.vjp import vjp
from node_diag.norms import norm
from node_diag.problem import Problem
from node_diag.records import StepSizeTerms
from node_diag.references.base import Vector, entry_name, slices
from node_diag.solvers.integrate import Source, integrate

MOST_NAMED = 6
VISIBLE = 1e-3
"""Of the largest entry of the gradient: smaller entries change their sign for nothing."""


def inspect(problem: Problem, setup: Setup, naive: Vector, held: Vector) -> StepSizeTerms:
    """The parts of the step-size terms in a naive gradient.

    Args:
        problem: as the method solved it.
        setup: of that run.
        naive: its gradient in z0 and the parameters (D + P,).
        held: that of the accepted steps, their sizes held constant.

    Raises:
        SolveError, ProblemError: as the naive method does.
    """
    started = _gradient(problem, setup, frozenset({"start"}))
    retried = _gradient(problem, setup, frozenset({"start", "rejected"}))
    size = norm(held) or 1.0
    return StepSizeTerms(
        start=norm(started - held) / size,
        rejected=norm(retried - started) / size,
        accepted=norm(naive - retried) / size,
        flipped=_flipped(problem, held, naive),
    )


def _gradient(problem: Problem, setup: Setup, sources: frozenset[Source]) -> Vector:
    """The naive gradient with only some of the step sizes' derivatives in it."""
    f = Field(problem)
    z0 = problem.flat_z0().requires_grad_()
    ts = torch.tensor(problem.ts, dtype=torch.float64)
    solution = integrate(f, z0, ts, setup.forward, "traced", keep=False, sources=sources)
    cotangents, direct = loss_vjp(problem, solution.zs)
    found = vjp([solution.zs], [z0, *f.params.values()], [cotangents])
    parts = [found[0]]
    for name, part in zip(f.params, found[1:], strict=True):
        parts.append(part + direct[name] if name in direct else part)
    return np.concatenate([part.detach().double().cpu().numpy().ravel() for part in parts])


def _flipped(problem: Problem, held: Vector, naive: Vector) -> list[str]:
    """Entries, the largest first, whose sign the terms turn around."""
    visible = np.abs(held) > VISIBLE * np.max(np.abs(held), initial=0.0)
    turned = np.flatnonzero((np.sign(held) * np.sign(naive) < 0) & visible)
    turned = turned[np.argsort(-np.abs(held[turned]))][:MOST_NAMED]
    parts = slices(problem)
    return [entry_name(parts, index) for index in turned]
