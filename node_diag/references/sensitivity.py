"""Continuous reference by sensitivity analysis: two solves, and how far they are apart.

They differ in tolerance, in the length of their longest steps, and by a few ulp in z0: so their
difference sees truncation, and round-off as far as the dynamics amplify it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from node_diag.errors import NoReferenceError
from node_diag.gradients.base import loss_vjp
from node_diag.norms import norm
from node_diag.problem import Problem
from node_diag.references.adjoint_sensitivity import StoredTrajectory, solve_adjoint
from node_diag.references.base import Reference, Vector, assemble, spread
from node_diag.references.forward_sensitivity import is_stiff, solve_sensitivity
from node_diag.references.linearize import Linearized
from node_diag.references.tangents import held_against_tangents

FINE, COARSE = 1e-13, 1e-11
"""Tolerances of the solve that gives the value and of the one that gives its uncertainty."""
MOST_COLUMNS = 2_000
"""Forward sensitivities up to this D · (D + P), adjoint sensitivities beyond."""
WORST = 1e-2
"""A relative uncertainty above this is no reference."""
NUDGE, JITTER, FLOOR, IMPLICIT_FLOOR = 8.0, 4.0, 2.0, 4.0
"""Ulps: by which z0 differs in the coarse solve, by which each step does if it is an implicit one,
and in the round-off of the few operations of a step, of which an implicit one has more."""
EPS = float(np.finfo(np.float64).eps)
CHAOTIC, BETWEEN = 1e-3, (1e-12, 3e-13)
"""Growth of an error of the fine solve from which more solves are made, and their tolerances."""


def sensitivity_reference(problem: Problem) -> Reference:
    """Gradient of the exact flow, with |fine − coarse| as its uncertainty.

    If errors grow more than 10¹⁰-fold, it is the largest distance to three others.

    Args:
        problem: float64, on the CPU.

    Raises:
        NoReferenceError: the two solves do not agree to 1 %, or one of them fails.
    """
    system = Linearized(problem)
    forward = system.n_state * (system.n_state + system.n_params) <= MOST_COLUMNS
    stiff = forward and is_stiff(system, problem.flat_z0().numpy(), problem.t0, problem.t1)
    solve = _forward if forward else _adjoint
    z0 = problem.flat_z0().numpy()
    solves = [
        solve(problem, system, _nudged(z0), COARSE, stiff),
        solve(problem, system, z0, FINE, stiff),
    ]
    coarse, fine = (one.gradient for one in solves)
    steps = [one.steps for one in solves]
    growth = solves[-1].growth
    # Where errors grow so much, two solves that are both far off may be close to each other.
    tolerances = BETWEEN if growth * FINE > CHAOTIC else ()
    others = [coarse]
    others += [
        solve(problem, system, _nudged(z0, i), tol, stiff).gradient
        for i, tol in enumerate(tolerances, 4)
    ]
    times = len(problem.ts)
    with np.errstate(invalid="ignore"):  # what is not finite is refused below
        apart = np.max([np.abs(fine - other) for other in others], axis=0)
        # Round-off of a solve of N steps that does not amplify it grows like a few √N ulp.
        ulps = IMPLICIT_FLOOR if stiff else FLOOR
        floor = ulps * EPS * np.sqrt(max(steps)) * np.abs(fine)
        bar = np.concatenate([spread(apart[:-times]), spread(apart[-times:])])
        bar += floor + np.pad(solves[-1].cancellation, (fine.size - times, 0))
    details: dict[str, Any] = {
        "method": "forward sensitivities"
        if forward
        else "adjoint sensitivities, stored trajectory",
        "solver": "Radau IIA, order 13" if stiff else "DOP853",
        "rtol": [COARSE, FINE],
        "loss": solves[-1].loss,
        "steps": steps,
        "jacobians": "torch.func, batched" if system.batched else "autograd, one by one",
        "growth_of_perturbations": growth,
        "growth_rate": math.log(growth) / abs(problem.t1 - problem.t0) if growth > 0 else 0.0,
    }
    natural = norm(solves[-1].cotangents.ravel())
    _require_agreement(fine[:-times], bar[:-times], natural, details)
    if not forward:
        inputs = slice(0, fine.size - times)
        through = fine[inputs] - np.concatenate([np.zeros(system.n_state), solves[-1].direct])
        bar[inputs], seen = held_against_tangents(
            problem, system, through, bar[inputs], solves[-1].cotangents
        )
        details |= seen
    return Reference("sensitivity", fine, bar, details, suspects=system.screen.suspects())


def _nudged(z0: Vector, seed: int = 3) -> Vector:
    """z0 a few ulp away: what round-off does to the gradient shows in the difference as well."""
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=z0.shape)
    return z0 * (1 + NUDGE * EPS * signs)


@dataclass(frozen=True)
class _Solve:
    """Gradient by one solve, its steps, and ‖∂z(t1)/∂z0‖ beside the identity's.

    ``loss`` is that of its states, ``cancellation`` (K + 1,) what the round-off of f leaves in the
    derivatives in the times, ``cotangents`` ∂L/∂z(ts[1:]) (K, D), and ``direct`` ∂L/∂θ of what the
    loss uses itself.
    """

    gradient: Vector
    loss: float
    cancellation: Vector
    steps: int
    growth: float
    cotangents: Vector
    direct: Vector


def _forward(problem: Problem, system: Linearized, z0: Vector, rtol: float, stiff: bool) -> _Solve:
    jitter = JITTER if rtol == COARSE else 0.0
    found = solve_sensitivity(system, z0, problem.ts, rtol, stiff=stiff, jitter=jitter)
    cotangents, direct = _loss(problem, found.z)
    gradient = np.einsum("kd,kdq->q", cotangents, found.s)
    n = system.n_state
    times, lost = _times(problem, system, gradient[:n], cotangents, found.z)
    value = assemble(gradient[:n], {"all": gradient[n:] + direct}, times)
    growth = norm(found.s[-1][:, :n].ravel()) / math.sqrt(n)
    loss = float(problem.loss_of(torch.from_numpy(found.z)).detach())
    return _Solve(value, loss, lost, found.steps, growth, cotangents, direct)


def _adjoint(problem: Problem, system: Linearized, z0: Vector, rtol: float, stiff: bool) -> _Solve:
    del stiff  # the adjoint form is for large, non-stiff problems
    trajectory = StoredTrajectory(system, z0, problem.ts, rtol)
    states = np.stack(trajectory.states)
    cotangents, direct = _loss(problem, states)
    dz0, dparams, back = solve_adjoint(system, trajectory, problem.ts, cotangents, rtol)
    times, lost = _times(problem, system, dz0, cotangents, states)
    value = assemble(dz0, {"all": dparams + direct}, times)
    size = norm(cotangents.ravel())
    growth = norm(dz0) / size if size else 0.0
    loss = float(problem.loss_of(torch.from_numpy(states)).detach())
    return _Solve(value, loss, lost, trajectory.steps + back, growth, cotangents, direct)


def _loss(problem: Problem, zs: Vector) -> tuple[Vector, Vector]:
    """∂L/∂z(ts[1:]) and the flat ∂L/∂θ of parameters the loss uses itself."""
    cotangents, direct = loss_vjp(problem, torch.from_numpy(zs))
    flat = [
        direct[name].numpy().ravel() if name in direct else np.zeros(p.numel())
        for name, p in problem.params.items()
    ]
    return cotangents.numpy(), np.concatenate(flat) if flat else np.zeros(0)


def _times(
    problem: Problem, system: Linearized, dz0: Vector, cotangents: Vector, zs: Vector
) -> tuple[Vector, Vector]:
    """The derivatives in the times, and their round-off.

    They are −(dL/dz0)ᵀ f(t0, z0) for t0 and ∂ℓ/∂z(τ_k)ᵀ f(τ_k, z(τ_k)) for the others. f may be a
    small difference of large rates, as it is close to a steady state: the round-off is how far the
    products move when the states move by a few ulp.
    """

    def products(states: Vector) -> Vector:
        f = [system.f(t, z) for t, z in zip(problem.ts, states, strict=True)]
        with np.errstate(invalid="ignore"):  # of a loss whose derivative is infinite
            return np.array([g @ v for g, v in zip([-dz0, *cotangents], f, strict=True)])

    states = np.concatenate([problem.flat_z0().numpy()[None], zs])
    value = products(states)
    return value, np.abs(products(_nudged(states)) - value)


def _require_agreement(value: Vector, bar: Vector, natural: float, details: dict[str, Any]) -> None:
    """A gradient may be zero within its bar if that is small beside ‖∂L/∂z‖, its natural size."""
    if not np.isfinite(value).all():
        raise NoReferenceError("the sensitivity solves did not stay finite")
    size, uncertainty = norm(value), norm(bar)
    if uncertainty > WORST * size and uncertainty > 1e-9 * natural:
        raise NoReferenceError(
            f"two sensitivity solves differ by {uncertainty / (size or 1.0):.1e} "
            f"{'of' if size else 'beside'} the gradient: it is not "
            "known to float64 here; perturbations of z0 grow "
            f"{details['growth_of_perturbations']:.1e}-fold",
            details,
        )
