"""Forward sensitivities along a few directions: the second witness where there are too many inputs.

    d(S v)/dt = (∂f/∂z) (S v) + (∂f/∂θ) v      dL/dx · v = Σ_k (∂L/∂z(τ_k))ᵀ S(τ_k) v

by forward-mode derivatives of f, so neither a stored trajectory nor a reverse solve nor a backward
pass of f is shared with the adjoint equation that it is held against. The directions and the bound
that follows from them are those of :mod:`.frame`.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad

from node_diag.errors import NoReferenceError, ProblemError
from node_diag.norms import norm
from node_diag.problem import Problem
from node_diag.references.adjoint_sensitivity import march, usual
from node_diag.references.base import Vector, slices
from node_diag.references.frame import MISSED, block_sizes, error_bound, random_frame, weights
from node_diag.references.linearize import Linearized
from node_diag.references.pieces import cross, smooth_pieces

Rhs = Callable[[float, Vector], Vector]
DIRECTIONS = 4
RTOL = 1e-11
AGREE = 1e-8
"""Relative distance that the tolerance, amplified by the dynamics, does not explain any more."""


def held_against_tangents(
    problem: Problem, system: Linearized, value: Vector, bar: Vector, cotangents: Vector
) -> tuple[Vector, dict[str, Any]]:
    """The bar of a gradient in (z0, θ), widened if tangents disagree, and what they saw.

    Args:
        problem: float64, on the CPU.
        system: its dynamics.
        value: gradient by the adjoint equation (n,), without what the loss adds by itself.
        bar: of every entry (n,).
        cotangents: ∂L/∂z(ts[1:]) (K, D).
    """
    blocks = {name: part for name, part in slices(problem).items() if name != "ts"}
    sizes = block_sizes(value, blocks)
    lines = random_frame(value.size, DIRECTIONS, seed=7) * weights(sizes, blocks, value.size)
    try:
        slopes = _slopes(problem, system, lines, cotangents)
    except (ProblemError, NoReferenceError) as error:
        return bar, {"tangents": f"none: {error}"}
    seen = np.abs(lines @ value - slopes)
    bound = error_bound(seen, value.size)
    # What k of n directions see of an error is √(k / n) of it, typically.
    distance = norm(seen) * math.sqrt(value.size / len(lines))
    found = {
        "directions": len(lines),
        "distance": distance,
        "relative_error_bound_in_any_tensor": bound,
        "confidence": 1 - MISSED,
    }
    if not math.isfinite(bound):
        return bar, {"tangents": "none: they do not stay finite"}
    if distance > AGREE:
        bar = bar.copy()
        for name, part in blocks.items():
            count = max(1, part.stop - part.start)
            bar[part] = np.maximum(bar[part], bound * sizes[name] / math.sqrt(count))
    return bar, {"tangents": found}


def _slopes(problem: Problem, system: Linearized, lines: Vector, cotangents: Vector) -> Vector:
    """dL/dx · v for every line v (m, D + P), (m,)."""
    _, tangents = flow(problem, system, lines, problem.ts)
    return np.einsum("kd,kmd->m", cotangents, tangents)


def flow(
    problem: Problem,
    system: Linearized,
    lines: Vector,
    times: Sequence[float],
    rtol: float = RTOL,
    most: int | None = None,
) -> tuple[Vector, Vector]:
    """Z (K, D) and S v for every line v (m, D + P), (K, m, D), at times[1:]; times[0] is t0.

    Raises:
        ProblemError: f has no forward-mode derivative.
        NoReferenceError: the solve does not stay finite, or takes more than ``most`` evaluations.
    """
    n, m = system.n_state, len(lines)
    # S v is measured against the size v has: tolerances are relative to it.
    reach = np.array([norm(line) for line in lines])
    unit = lines / reach[:, None]
    y = np.concatenate([problem.flat_z0().numpy(), unit[:, :n].ravel()])
    rhs = _limited(_rhs(problem, system, unit), most)
    sizes = np.concatenate([np.full(n, system.size), np.ones(m * n)])
    states, found = list[Vector](), list[Vector]()
    with warnings.catch_warnings():  # forward_ad loads what torch itself calls deprecated
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
        longest = None
        for piece in smooth_pieces(system, y[:n], tuple(times), rtol):
            if piece.crossing:
                y = cross(rhs, piece, y)
            else:
                passed, _, y = march(rhs, piece, y, rtol, sizes, system.longest_step(rtol), longest)
                longest = usual(passed, longest)
            if piece.observed:
                states.append(y[:n])
                found.append(reach[:, None] * y[n:].reshape(m, n))
    return np.stack(states), np.stack(found)


def _limited(rhs: Rhs, most: int | None) -> Rhs:
    calls = itertools.count(1)

    def inner(t: float, y: Vector) -> Vector:
        if most is not None and next(calls) > most:
            raise NoReferenceError(f"{most} evaluations of the sensitivities were not enough")
        return rhs(t, y)

    return inner


def _rhs(problem: Problem, system: Linearized, lines: Vector) -> Rhs:
    n, m = system.n_state, len(lines)
    parts = slices(problem)
    seeds = [
        {
            name: torch.from_numpy(line[parts[f"params.{name}"]].copy()).reshape(p.shape)
            for name, p in problem.params.items()
        }
        for line in lines
    ]

    def rhs(t: float, y: Vector) -> Vector:
        time, z = torch.tensor(t, dtype=torch.float64), torch.from_numpy(y[:n].copy())
        tangents = torch.from_numpy(y[n:].copy()).reshape(m, n)
        rates = torch.zeros(m + 1, n, dtype=torch.float64)
        with torch.no_grad(), forward_ad.dual_level():
            for i, seed in enumerate(seeds):
                params = {
                    name: forward_ad.make_dual(p.detach(), seed[name])
                    for name, p in problem.params.items()
                }
                f = system.field.with_params(params)
                value = forward_ad.unpack_dual(f(time, forward_ad.make_dual(z, tangents[i])))
                rates[0] = value.primal
                if value.tangent is not None:
                    rates[i + 1] = value.tangent
        return rates.numpy().ravel()

    return rhs
