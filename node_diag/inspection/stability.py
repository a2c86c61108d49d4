"""How the flow stretches small differences, forward and in reverse, along the trajectory.

From the Jacobians of f at the accepted steps, J_i = ∂f/∂z(t_i, z_i), the linear maps between them,

    Φ(t_i+1 ← t_i) ≈ exp(h (J_i + J_i+1) / 2)

and with them what perturbations do: growth forward (chaos, exploding gradients), growth in reverse
time (what a continuous adjoint's z̄ is subject to), and how large the error of such a reverse solve
should become if each of its steps is wrong by its tolerance. Where the rows of a batch do not see
each other, each has its own, small Jacobian.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from node_diag.errors import ProblemError
from node_diag.field import Field
from node_diag.gradients.base import Setup, loss_vjp
from node_diag.gradients.vjp import derivatives
from node_diag.measure.trajectory import DEPARTED
from node_diag.norms import norm
from node_diag.problem import Problem
from node_diag.records import Stability
from node_diag.references.base import Vector
from node_diag.references.linearize import Linearized
from node_diag.solvers.integrate import Solution
from node_diag.solvers.tableau import Tableau

MOST_POINTS = 1_000
"""Points of the trajectory; of more steps, some are left out."""
MOST_SLOW_POINTS = 60
"""If Jacobians have to be taken one by one."""
WIDEST = 48
"""Largest Jacobian (of one row, where rows are independent)."""
MEMORY = 64 * 2**20
HUGE = 1e300


@dataclass(frozen=True)
class _Path:
    """Points t (n,), z (n, D), and the Jacobians of B independent blocks (n, B, d, d)."""

    t: Vector
    z: Vector
    jacobians: Vector

    def maps(self, sign: float) -> Vector:
        """exp(± h J) from every point to the next, (n − 1, B, d, d)."""
        middle = (self.jacobians[1:] + self.jacobians[:-1]) / 2
        h = np.diff(self.t)[:, None, None, None]
        return torch.linalg.matrix_exp(torch.from_numpy(sign * h * middle)).numpy()


def inspect(problem: Problem, setup: Setup, solution: Solution) -> Stability | None:
    """What Jacobians along the forward trajectory say; None where they are too large to take.

    Args:
        problem: float64, on the CPU.
        setup: tableau and the tolerances of a reverse-time solve.
        solution: the forward solve.
    """
    path = _path(problem, solution)
    if path is None or not np.isfinite(path.jacobians).all():
        return None
    with np.errstate(all="ignore"):
        eigenvalues = np.linalg.eigvals(path.jacobians)
        ahead, back = path.maps(1.0), path.maps(-1.0)
    if not (np.isfinite(ahead).all() and np.isfinite(back).all()):
        return None
    from_t1 = _growth(back[::-1])[::-1]
    from_t0 = _growth(ahead)
    predicted = _predicted_error(problem, setup, path, back)
    departure = np.flatnonzero(predicted > DEPARTED)
    return Stability(
        t=path.t.tolist(),
        contraction_rate=float(_mean(path.t, np.maximum(0.0, _fastest(-path.jacobians)))),
        expansion_rate=float(_mean(path.t, np.maximum(0.0, _fastest(path.jacobians)))),
        log10_growth=from_t0.tolist(),
        log10_reverse_growth=from_t1.tolist(),
        log10_cotangent=_cotangent(problem, solution, path, ahead).tolist(),
        predicted_error=np.minimum(predicted, HUGE).tolist(),
        predicted_departure=float(path.t[departure[-1]]) if departure.size else None,
        stability_share=_stability_share(setup.forward.tableau, path, eigenvalues),
        blocks=int(path.jacobians.shape[1]),
    )


def _path(problem: Problem, solution: Solution) -> _Path | None:
    system = Linearized(problem)
    times = np.array([*solution.grid.starts(), solution.grid.t1])
    rows = _independent_rows(problem)
    width = problem.layout.numel // rows
    if width > WIDEST:
        return None
    most = MOST_POINTS if system.batched else MOST_SLOW_POINTS
    most = min(most, MEMORY // (8 * rows * width * max(width, 4)))
    if most < 10:
        return None
    chosen = np.unique(np.linspace(0, len(times) - 1, min(len(times), most)).astype(int))
    z = np.stack([solution.checkpoints[i].double().cpu().numpy() for i in chosen])
    t = times[chosen]
    try:
        if rows == 1 or not system.batched:
            return _Path(t, z, system.jacobians(t, z)[0][:, None])
        return _Path(t, z, _blocks(problem, t, z, rows))
    except (ProblemError, RuntimeError):
        return None


def _independent_rows(problem: Problem) -> int:
    """B if the state is a batch (B, …) whose rows do not see each other at t0, else 1."""
    shapes = problem.layout.shapes
    if problem.layout.is_tuple or len(shapes[0]) < 2 or shapes[0][0] < 2:
        return 1
    rows = shapes[0][0]
    z = problem.flat_z0().requires_grad_()
    with torch.enable_grad():
        value = Field(problem)(torch.tensor(problem.t0, dtype=torch.float64), z)
    if not value.requires_grad:
        return rows
    generator = torch.Generator().manual_seed(5)
    weights = torch.randn(value.shape, generator=generator, dtype=value.dtype)
    for row in {0, rows // 2, rows - 1}:
        mask = torch.zeros_like(value).reshape(rows, -1)
        mask[row] = 1.0
        (slope,) = derivatives((value * weights * mask.reshape(-1)).sum(), [z], retain_graph=True)
        if slope is not None and bool(slope.reshape(rows, -1)[mask[:, 0] == 0].any()):
            return 1
    return rows


def _blocks(problem: Problem, ts: Vector, zs: Vector, rows: int) -> Vector:
    """∂f/∂z of every row by itself, (n, B, d, d): d backward passes whatever the batch."""
    field = Field(problem)
    many = field.batched([])
    n, width = len(ts), zs.shape[1] // rows
    z = torch.from_numpy(zs).clone().requires_grad_()
    with torch.enable_grad():
        params = {name: p.detach() for name, p in problem.params.items()}
        value = many(torch.from_numpy(ts), z, params)
    found = np.zeros((n, rows, width, width))
    columns = value.reshape(n, rows, width)
    for i in range(width if value.requires_grad else 0):
        (slope,) = derivatives(columns[:, :, i].sum(), [z], retain_graph=True)
        if slope is not None:
            found[:, :, i] = slope.numpy().reshape(n, rows, width)
    return found


def _fastest(jacobians: Vector) -> Vector:
    """Largest eigenvalue of the symmetric part over the blocks, (n,): the fastest growth there."""
    symmetric = (jacobians + jacobians.swapaxes(-1, -2)) / 2
    return np.linalg.eigvalsh(symmetric).max(axis=(-1, -2))


def _mean(t: Vector, x: Vector) -> float:
    """Mean over time."""
    span = abs(t[-1] - t[0])
    return abs(float(np.trapezoid(x, t))) / span if span else 0.0


def _growth(maps: Vector) -> Vector:
    """log10 of the largest ‖Φ‖₂ over the blocks, after 0, 1, … of the maps."""
    product = np.broadcast_to(np.eye(maps.shape[-1]), maps.shape[1:]).copy()
    scale = np.zeros(maps.shape[1])
    found = [0.0]
    for step in maps:
        product = step @ product
        size = np.linalg.norm(product, ord=2, axis=(-2, -1))
        size = np.where(size > 0, size, 1e-300)
        product = product / size[:, None, None]
        scale += np.log10(size)
        found.append(float(scale.max()))
    return np.array(found)


def _cotangent(problem: Problem, solution: Solution, path: _Path, ahead: Vector) -> Vector:
    """log10 ‖a(t)‖ along the points, a(t1) and the jumps from the loss; −300 where it is zero."""
    cotangents = loss_vjp(problem, solution.zs.detach().double().cpu())[0].numpy()
    times, sign = np.asarray(problem.ts[1:]), np.sign(path.t[-1] - path.t[0])
    blocks = path.jacobians.shape[1]
    a = np.zeros((blocks, path.z.shape[1] // blocks))
    waiting = len(times) - 1
    sizes = np.empty(len(path.t))
    for i in range(len(path.t) - 1, -1, -1):
        if i < len(ahead):
            a = np.einsum("bij,bi->bj", ahead[i], a)
        while waiting >= 0 and sign * times[waiting] >= sign * path.t[i]:
            a = a + cotangents[waiting].reshape(a.shape)
            waiting -= 1
        sizes[i] = norm(a.ravel())
    return np.log10(np.maximum(sizes, 1e-300))


def _predicted_error(problem: Problem, setup: Setup, path: _Path, back: Vector) -> Vector:
    """Relative error of a reverse solve whose every step is wrong by its tolerance, (n,).

    P(t_i) = Φ P(t_i+1) Φᵀ + diag(tolerance²): errors of different steps add like random numbers.
    Right while they are small; it starts from zero again at every observation time.
    """
    settings = setup.backward
    blocks = path.jacobians.shape[1]
    scale = float(np.linalg.norm(path.z, axis=1).max()) or 1.0
    tolerance = (settings.rtol * np.abs(path.z) + settings.atol).reshape(len(path.z), blocks, -1)
    stops, sign = np.asarray(problem.ts[1:-1]), np.sign(path.t[-1] - path.t[0])
    p = np.zeros_like(path.jacobians[0])
    found = np.zeros(len(path.t))
    for i in range(len(path.t) - 2, -1, -1):
        if np.any((sign * stops > sign * path.t[i]) & (sign * stops <= sign * path.t[i + 1])):
            p = np.zeros_like(p)
        with np.errstate(all="ignore"):
            p = back[i] @ p @ back[i].swapaxes(-1, -2)
        p = p + tolerance[i][:, :, None] ** 2 * np.eye(p.shape[-1])
        total = float(np.trace(p, axis1=-2, axis2=-1).sum())
        if not math.isfinite(total) or total > HUGE:
            found[: i + 1] = HUGE
            break
        found[i] = math.sqrt(total) / scale
    return found


def stability_interval(tableau: Tableau) -> float:
    """Length of the stability region on the negative real axis: where |R(−x)| exceeds 1 first.

    R(x) = 1 + x bᵀ (I − x A)⁻¹ 1.
    """
    s = tableau.stages
    a, b = np.zeros((s, s)), np.asarray(tableau.b)
    for i, row in enumerate(tableau.a):
        a[i, :i] = row
    xs = np.arange(0.01, 20, 0.01)
    systems = np.eye(s) + xs[:, None, None] * a
    r = 1 - xs * (np.linalg.solve(systems, np.ones((len(xs), s, 1)))[..., 0] @ b)
    beyond = np.flatnonzero(np.abs(r) > 1 + 1e-9)
    return float(xs[beyond[0]]) if beyond.size else math.inf


def _stability_share(tableau: Tableau, path: _Path, eigenvalues: NDArray[Any]) -> float:
    """Share of the steps (the first tenth aside) whose size is what stability allows.

    h |λ| within a third of the stability interval, for the largest damped, hardly oscillating λ.
    """
    sign = np.sign(path.t[-1] - path.t[0])
    damped = (sign * eigenvalues.real < 0) & (np.abs(eigenvalues.imag) < np.abs(eigenvalues.real))
    rate = np.where(damped, np.abs(eigenvalues), 0.0).max(axis=(-1, -2))
    rate = np.maximum(rate[1:], rate[:-1])
    use = rate * np.abs(np.diff(path.t)) / stability_interval(tableau)
    settled = use[len(use) // 10 : -1]
    return float(np.mean((settled > 2 / 3) & (settled < 4 / 3))) if settled.size >= 20 else 0.0
