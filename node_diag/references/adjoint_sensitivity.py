"""Continuous reference for many parameters: the adjoint equation along a stored trajectory.

    da/dt = −(∂f/∂z)ᵀ a      dL/dθ = ∫ aᵀ ∂f/∂θ dt

Not the adjoint method under test: z(t) is DOP853's dense output of a forward solve far below the
tested tolerance, never a second solve in reverse time, so contracting dynamics do no harm. a has
its own error control. The integral over each step of a is taken by Gauss's rule on both dense
outputs, which makes it a few batched backward passes. The cost does not grow with D · P, unlike
that of forward sensitivities.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from node_diag.errors import NoReferenceError
from node_diag.gradients.vjp import vjp
from node_diag.references.base import Vector
from node_diag.references.linearize import Linearized
from node_diag.references.pieces import Piece, cross, smooth_pieces

MOST_STEPS = 20_000
NODES = 8
"""Of Gauss's rule, exact for products of two polynomials of DOP853's dense output (degree 7)."""


class StoredTrajectory:
    """z(t) on [ts[0], ts[-1]] with dense output on every piece on which f is smooth.

    Attributes:
        pieces, solutions: the pieces, and z on each of them.
        states: at the observation times ts[1:].
    """

    def __init__(self, system: Linearized, z0: Vector, ts: tuple[float, ...], rtol: float) -> None:
        from scipy.integrate import OdeSolution  # half a second, for many parameters only

        self.pieces = smooth_pieces(system, z0, ts, rtol)
        self.solutions: list[Callable[[Any], Vector]] = []
        self.states: list[Vector] = []
        self.steps = 0
        z, longest = z0, None
        for piece in self.pieces:
            if piece.crossing:
                z1 = cross(system.f, piece, z)
                self.solutions.append(_straight(piece, z, z1))
                z, taken = z1, 1
            else:
                times, interpolants, z = march(
                    system.f, piece, z, rtol, system.size, system.longest_step(rtol), longest
                )
                longest = usual(times, longest)
                self.solutions.append(OdeSolution(times, interpolants))
                taken = len(interpolants)
            self.steps += taken
            if piece.observed:
                self.states.append(z)


def _straight(piece: Piece, z: Vector, z1: Vector) -> Callable[[Any], Vector]:
    """From z to z1 over a crossing, of which only the two ends are wanted."""
    slope = (z1 - z) / (piece.end - piece.start)
    return lambda t: (z + slope * (np.asarray(t) - piece.start)[..., None]).T


def solve_adjoint(
    system: Linearized,
    trajectory: StoredTrajectory,
    ts: tuple[float, ...],
    cotangents: Vector,
    rtol: float,
) -> tuple[Vector, Vector, int]:
    """dL/dz0 (D,), dL/dθ (P,) and the steps, for cotangents ∂L/∂z(ts[1:]) of shape (K, D).

    Raises:
        NoReferenceError: the solve needs too many steps or does not stay finite.
    """
    a, total = np.zeros(system.n_state), np.zeros(system.n_params)
    steps, k = 0, len(cotangents)
    # a is measured against its own size: a loss of size 1e-9 is as well resolved as one of 1.
    size = float(np.abs(cotangents).max()) or 1.0
    longest = None
    for piece, solution in zip(
        reversed(trajectory.pieces), reversed(trajectory.solutions), strict=True
    ):
        if piece.observed:
            k -= 1
            a = a + cotangents[k] / size
        back = Piece(piece.end, piece.start, piece.crossing, observed=False)
        rhs = _adjoint(system, solution)
        if piece.crossing:
            ends = np.array([piece.end, piece.start])
            a1 = cross(rhs, back, a)
            weights = (ends[0] - ends[1]) / 2 * np.stack([a, a1])
            a, taken = a1, 1
            total += system.vjp_params(ends, solution(ends).T, weights)
        else:
            times, interpolants, a = march(
                rhs, back, a, rtol, 1.0, system.longest_step(rtol), longest
            )
            longest = usual(times, longest)
            taken = len(interpolants)
            total += _integral(system, solution, np.array(times), interpolants)
        steps += taken
    return size * a, size * total, steps


def _adjoint(system: Linearized, solution: Callable[[Any], Vector]):  # noqa: ANN202 - a closure
    def rhs(t: float, a: Vector) -> Vector:
        with torch.enable_grad():
            z = torch.from_numpy(solution(t)).requires_grad_()
            dz = system.field(torch.tensor(t, dtype=torch.float64), z)
        (found,) = vjp([dz], [z], [torch.from_numpy(a.copy())])
        return -found.numpy()

    return rhs


def _integral(
    system: Linearized,
    solution: Callable[[Any], Vector],
    times: Vector,
    interpolants: list[Any],
) -> Vector:
    """∫ aᵀ ∂f/∂θ dt over all steps (P,): from their first time to their last one is backward."""
    x, w = np.polynomial.legendre.leggauss(NODES)
    h = -np.diff(times)[:, None]
    nodes = times[1:, None] + h * (x + 1) / 2
    zs = solution(nodes.ravel()).T
    adjoints = [own(at).T for own, at in zip(interpolants, nodes, strict=True)]
    weighted = (h * w / 2)[..., None] * np.stack(adjoints)
    return system.vjp_params(nodes.ravel(), zs, weighted.reshape(zs.shape))


def usual(times: list[float], before: float | None) -> float:
    """The longest of some steps, or of those before if a single one was cut to its piece."""
    longest = float(np.abs(np.diff(times)).max())
    return max(longest, before or 0.0) if len(times) == 2 else longest


def march(
    f: Callable[[float, Vector], Vector],
    piece: Piece,
    y: Vector,
    rtol: float,
    size: float | Vector,
    longest: float,
    before: float | None = None,
) -> tuple[list[float], list[Any], Vector]:
    """DOP853 of scipy over a piece; times, interpolants and the last state.

    Args:
        f: right-hand side.
        piece: where.
        y: the state at its start.
        rtol: tolerance.
        size: of the state, which the absolute tolerance is relative to.
        longest: step there may be.
        before: the longest step so far of the pieces before, see :func:`usual`.
    """
    from scipy.integrate import DOP853

    method: Any = DOP853
    first = None if before is None else min(2 * before, longest, abs(piece.end - piece.start))
    solver = method(
        f, piece.start, y, piece.end, rtol=rtol, atol=rtol / 100 * size, max_step=longest,
        first_step=first,
    )  # fmt: skip
    times, interpolants = [piece.start], list[Any]()
    while solver.status == "running":
        message = solver.step()
        if str(solver.status) == "failed" or len(times) > MOST_STEPS:
            raise NoReferenceError(
                f"DOP853 stopped at t = {solver.t:.6g}: {message or 'too many steps'}"
            )
        times.append(solver.t)
        interpolants.append(solver.dense_output())
    return times, interpolants, solver.y
