"""Continuous reference for many parameters: the adjoint equation along a stored trajectory.

    da/dt = −(∂f/∂z)ᵀ a      dL/dθ = ∫ aᵀ ∂f/∂θ dt

Not the adjoint method under test: z(t) is DOP853's dense output of a forward solve far below the
tested tolerance, never a second solve in reverse time, so contracting dynamics do no harm. a has
its own error control. The integral over each step of a is taken by Gauss's rule on both dense
outputs, which makes it a few batched backward passes. The cost does not grow with D · P, unlike
that of forward sensitivities.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from node_diag.errors import NoReferenceError
from node_diag.gradients.vjp import vjp
from node_diag.references.base import Vector
from node_diag.references.linearize import Linearized

if TYPE_CHECKING:
    from scipy.integrate import OdeSolution

MOST_STEPS = 20_000
NODES = 8
"""Of Gauss's rule, exact for products of two polynomials of DOP853's dense output (degree 7)."""


class StoredTrajectory:
    """z(t) on [ts[0], ts[-1]] with dense output; every observation time is a step's end."""

    def __init__(self, system: Linearized, z0: Vector, ts: tuple[float, ...], rtol: float) -> None:
        from scipy.integrate import OdeSolution  # half a second, for many parameters only

        self.pieces: list[OdeSolution] = []
        self.states: list[Vector] = []
        self.steps = 0
        z = z0
        for start, end in itertools.pairwise(ts):
            times, interpolants, z = march(
                system.f, start, end, z, rtol, system.size, system.longest_step(rtol)
            )
            self.pieces.append(OdeSolution(times, interpolants))
            self.states.append(z)
            self.steps += len(interpolants)


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
    steps = 0
    # a is measured against its own size: a loss of size 1e-9 is as well resolved as one of 1.
    size = float(np.abs(cotangents).max()) or 1.0
    for k in reversed(range(len(cotangents))):
        a = a + cotangents[k] / size
        piece = trajectory.pieces[k]
        rhs = _adjoint(system, piece)
        times, interpolants, a = march(
            rhs, ts[k + 1], ts[k], a, rtol, 1.0, system.longest_step(rtol)
        )
        steps += len(interpolants)
        total += _integral(system, piece, np.array(times), interpolants)
    return size * a, size * total, steps


def _adjoint(system: Linearized, piece: OdeSolution):  # noqa: ANN202 - a closure
    def rhs(t: float, a: Vector) -> Vector:
        with torch.enable_grad():
            z = torch.from_numpy(piece(t)).requires_grad_()
            dz = system.field(torch.tensor(t, dtype=torch.float64), z)
        (found,) = vjp([dz], [z], [torch.from_numpy(a.copy())])
        return -found.numpy()

    return rhs


def _integral(
    system: Linearized, piece: OdeSolution, times: Vector, interpolants: list[Any]
) -> Vector:
    """∫ aᵀ ∂f/∂θ dt over all steps (P,): from their first time to their last one is backward."""
    x, w = np.polynomial.legendre.leggauss(NODES)
    h = -np.diff(times)[:, None]
    nodes = times[1:, None] + h * (x + 1) / 2
    zs = piece(nodes.ravel()).T
    adjoints = [own(at).T for own, at in zip(interpolants, nodes, strict=True)]
    weighted = (h * w / 2)[..., None] * np.stack(adjoints)
    return system.vjp_params(nodes.ravel(), zs, weighted.reshape(zs.shape))


def march(
    f: Callable[[float, Vector], Vector],
    start: float,
    end: float,
    y: Vector,
    rtol: float,
    size: float | Vector,
    longest: float,
) -> tuple[list[float], list[Any], Vector]:
    """DOP853 of scipy from start to end; times, interpolants and the last state."""
    from scipy.integrate import DOP853

    method: Any = DOP853
    solver = method(f, start, y, end, rtol=rtol, atol=rtol / 100 * size, max_step=longest)
    times, interpolants = [start], list[Any]()
    while solver.status == "running":
        message = solver.step()
        if str(solver.status) == "failed" or len(times) > MOST_STEPS:
            raise NoReferenceError(
                f"DOP853 stopped at t = {solver.t:.6g}: {message or 'too many steps'}"
            )
        times.append(solver.t)
        interpolants.append(solver.dense_output())
    return times, interpolants, solver.y
