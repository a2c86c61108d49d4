"""Where along the solve the error of a gradient arises.

For the exact flow  φ(t) = a(t)ᵀ S(t) v + (∂L/∂θ summed up from t1 to t)ᵀ v  is the same at all t,
whatever the direction v in (z0, θ): a is the adjoint state, S(t) the sensitivity of z(t). A
backward pass that makes an error somewhere changes its φ there and nowhere else. With v along the
error of the gradient itself, φ drifts from the true dL/dx · v at t1 by exactly ‖error‖ on its way
to t0, and the drift over each interval is the share of the error that arises in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from node_diag.errors import NoReferenceError, ProblemError
from node_diag.gradients.base import loss_vjp
from node_diag.gradients.trail import TrailPoint
from node_diag.norms import norm
from node_diag.problem import Problem
from node_diag.records import ErrorOrigin
from node_diag.references.base import Reference, Vector
from node_diag.references.forward_sensitivity import solve_sensitivity
from node_diag.references.linearize import Linearized
from node_diag.references.sensitivity import MOST_COLUMNS
from node_diag.references.tangents import flow

RTOL = 1e-8
"""Errors that are looked into are of 1e-2 and more."""
CLOSES = 0.05
"""How far the drift may end from the error it has to add up to."""
WINDOW = 0.1
"""Part of the interval in which the largest share is looked for."""


@dataclass(frozen=True)
class Suspect:
    """A method's gradient (z0 and parameters, flat) and the trail of its backward pass."""

    gradient: Vector
    trail: Sequence[TrailPoint]


def inspect(
    problem: Problem, truth: Reference, suspects: Mapping[str, Suspect]
) -> dict[str, ErrorOrigin]:
    """The origin of the errors of some methods, by name; without those that cannot be told.

    Args:
        problem: float64, on the CPU.
        truth: continuous reference.
        suspects: methods with a trail.
    """
    size = truth.value.size - len(problem.ts)
    errors = {name: one.gradient - truth.value[:size] for name, one in suspects.items()}
    usable = [n for n, e in errors.items() if suspects[n].trail and 0 < norm(e) < np.inf]
    if not usable:
        return {}
    lines = np.stack([errors[name] / norm(errors[name]) for name in usable])
    noted = {point.t for name in usable for point in suspects[name].trail}
    sign = np.sign(problem.t1 - problem.t0)
    times = sorted({*noted, *problem.ts}, key=lambda t: sign * t)
    system = Linearized(problem)
    try:
        tangents, states = _tangents(problem, system, lines, times, _is_stiff(truth))
    except (NoReferenceError, ProblemError):
        return {}
    at = {t: i for i, t in enumerate(times)}
    observed = [at[t] for t in problem.ts[1:]]
    cotangents = loss_vjp(problem, torch.from_numpy(states[observed]))[0].numpy()
    found: dict[str, ErrorOrigin] = {}
    for m, name in enumerate(usable):
        slopes = np.einsum("kd,kd->k", cotangents, tangents[observed, m])
        drift = [
            point.adj_z @ tangents[at[point.t], m]
            + point.params @ lines[m][problem.layout.numel :]
            - slopes[point.included :].sum()
            for point in suspects[name].trail
        ]
        origin = _origin(problem, suspects[name].trail, np.array(drift) / norm(errors[name]))
        if origin is not None:
            found[name] = origin
    return found


def _is_stiff(truth: Reference) -> bool:
    return str(truth.details.get("solver", "")).startswith("Radau")


def _tangents(
    problem: Problem, system: Linearized, lines: Vector, times: Sequence[float], stiff: bool
) -> tuple[Vector, Vector]:
    """S(t) v (T, m, D) and z (T, D) at all times, t0 included."""
    n, z0 = system.n_state, problem.flat_z0().numpy()
    if n * (n + system.n_params) > MOST_COLUMNS:
        states, later = flow(problem, system, lines, times)
    else:
        solved = solve_sensitivity(system, z0, tuple(times), RTOL, stiff=stiff)
        states, later = solved.z, np.einsum("tdq,mq->tmd", solved.s, lines)
    return np.concatenate([lines[None, :, :n], later]), np.concatenate([z0[None], states])


def _origin(problem: Problem, trail: Sequence[TrailPoint], drift: Vector) -> ErrorOrigin | None:
    """Shares by interval, if they add up."""
    if not np.isfinite(drift).all() or abs(drift[-1] - 1) > CLOSES:
        return None
    t = np.array([problem.t1, *(point.t for point in trail)])
    share = np.concatenate([[0.0], drift])
    start, end, most = _window(t, share, abs(problem.t1 - problem.t0))
    return ErrorOrigin(t=t.tolist(), share=share.tolist(), start=start, end=end, most=most)


def _window(t: Vector, share: Vector, span: float) -> tuple[float, float, float]:
    """The part of the interval, a tenth of it or one recorded step, in which most arises."""
    best = (float(t[1]), float(t[0]), float(share[1] - share[0]))
    for i in range(len(t) - 1):
        for j in range(i + 1, len(t)):
            if j > i + 1 and abs(t[j] - t[i]) > WINDOW * span:
                break
            if share[j] - share[i] > best[2]:
                best = (float(t[j]), float(t[i]), float(share[j] - share[i]))
    return best
