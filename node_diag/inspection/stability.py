"""How the flow stretches small differences, forward and in reverse, along the trajectory.

From the Jacobians of f, J = ∂f/∂z, at the two Gauss points of every accepted step, the linear maps
over the steps (Magnus' method of order 4),

    Φ(t_i+1 ← t_i) ≈ exp(h (J_1 + J_2) / 2 + h² √3/12 (J_2 J_1 − J_1 J_2))

and with them what perturbations do: growth forward (chaos, exploding gradients), growth in reverse
time (what a continuous adjoint's z̄ is subject to), and how large the error of such a reverse solve
should become if each of its steps is wrong by its tolerance. Where the rows of a batch do not see
each other, each has its own, small Jacobian.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

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
from node_diag.solvers.solution import Solution
from node_diag.solvers.tableau import Tableau

MOST_STEPS = 1_000
"""Of more steps, neighbours are taken together."""
MOST_SLOW_STEPS = 60
"""If Jacobians have to be taken one by one."""
FEWEST_STEPS = 10
WIDEST = 48
"""Largest Jacobian (of one row, where rows are independent)."""
MEMORY = 64 * 2**20
HUGE, TINY = 1e300, 1e-300


@dataclass(frozen=True)
class _Path:
    """Points t (n,), z (n, D), and between them the Jacobians of B independent blocks.

    ``jacobians`` is (n − 1, 2, B, d, d): at the Gauss points between two points; ``steps``
    (n − 1,) the accepted steps from one point to the next, one unless they were too many.
    """

    t: Vector
    z: Vector
    jacobians: Vector
    steps: Vector

    @property
    def blocks(self) -> int:
        """Rows that do not see each other."""
        return self.jacobians.shape[2]

    def maps(self, sign: float) -> Vector:
        """Over every step forward (1) or back (−1), (n − 1, B, d, d)."""
        h = np.diff(self.t)[:, None, None, None]
        first, second = self.jacobians[:, 0], self.jacobians[:, 1]
        omega = h / 2 * (first + second)
        omega += h**2 * math.sqrt(3) / 12 * (second @ first - first @ second)
        return torch.linalg.matrix_exp(torch.from_numpy(sign * omega)).numpy()

    def mean(self, rate: Vector) -> float:
        """Time mean of what is given at the Gauss points (n − 1, 2)."""
        h = np.abs(np.diff(self.t))
        return float(h @ rate.mean(axis=1) / h.sum()) if h.sum() else 0.0


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
    cotangents = loss_vjp(problem, solution.zs.detach().double().cpu())[0].numpy()
    from_t1 = _growth(back[::-1])[::-1]
    from_t0 = _growth(ahead)
    predicted = _predicted_error(problem, setup, path, back)
    departure = np.flatnonzero(predicted > DEPARTED)
    return Stability(
        t=path.t.tolist(),
        contraction_rate=path.mean(np.maximum(0.0, _fastest(-path.jacobians))),
        expansion_rate=path.mean(np.maximum(0.0, _fastest(path.jacobians))),
        log10_growth=from_t0.tolist(),
        log10_reverse_growth=from_t1.tolist(),
        log10_state_growth=_state_growth(path),
        log10_cotangent=_cotangent(path, ahead, problem.ts[1:], cotangents).tolist(),
        log10_loss_cotangent=_log10(norm(cotangents.ravel())),
        predicted_error=np.minimum(predicted, HUGE).tolist(),
        predicted_departure=float(path.t[departure[-1]]) if departure.size else None,
        stability_share=_stability_share(setup.forward.tableau, path, eigenvalues),
        blocks=path.blocks,
    )


def _path(problem: Problem, solution: Solution) -> _Path | None:
    system = Linearized(problem)
    times = np.array([*solution.grid.starts(), solution.grid.t1])
    rows = _independent_rows(problem)
    width = problem.layout.numel // rows
    if width > WIDEST:
        return None
    most = MOST_STEPS if system.batched else MOST_SLOW_STEPS
    most = min(most, MEMORY // (16 * rows * width * max(width, 4)))
    if most < FEWEST_STEPS or len(times) < 2:
        return None
    chosen = np.unique(np.linspace(0, len(times) - 1, min(len(times), most + 1)).astype(int))
    t = times[chosen]
    try:
        z = np.stack([solution.checkpoints[i].double().cpu().numpy() for i in chosen])
        inner_t, inner_z = _gauss_points(t, z, system.values(t, z))
        if rows == 1 or not system.batched:
            jacobians = system.jacobians(inner_t, inner_z)[0][:, None]
        else:
            jacobians = _blocks(problem, inner_t, inner_z, rows)
    except (ProblemError, RuntimeError):
        return None
    shape = (len(t) - 1, 2, *jacobians.shape[1:])
    return _Path(t, z, jacobians.reshape(shape), np.diff(chosen))


def _gauss_points(t: Vector, z: Vector, f: Vector) -> tuple[Vector, Vector]:
    """Times and states at the two Gauss points of every step, by cubic Hermite interpolation."""
    theta = 0.5 + np.array([-1.0, 1.0]) * math.sqrt(3) / 6
    h = np.diff(t)[:, None]
    times = t[:-1, None] + h * theta
    x, step = theta[None, :, None], h[:, :, None]
    left, right = z[:-1, None], z[1:, None]
    states = left + (3 * x**2 - 2 * x**3) * (right - left)
    states += step * ((x - 2 * x**2 + x**3) * f[:-1, None] + (x**3 - x**2) * f[1:, None])
    return times.ravel(), states.reshape(-1, z.shape[1])


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
    """Largest eigenvalue of the symmetric part over the blocks, (n − 1, 2): the fastest growth."""
    symmetric = (jacobians + jacobians.swapaxes(-1, -2)) / 2
    return np.linalg.eigvalsh(symmetric).max(axis=(-1, -2))


def _growth(maps: Vector) -> Vector:
    """log10 of the largest ‖Φ‖₂ over the blocks, after 0, 1, … of the maps."""
    product = np.broadcast_to(np.eye(maps.shape[-1]), maps.shape[1:]).copy()
    scale = np.zeros(maps.shape[1])
    found = [0.0]
    for step in maps:
        product = step @ product
        size = np.linalg.norm(product, ord=2, axis=(-2, -1))
        size = np.where(size > 0, size, TINY)
        product = product / size[:, None, None]
        scale += np.log10(size)
        found.append(float(scale.max()))
    return np.array(found)


def _state_growth(path: _Path) -> float:
    """log10 of the largest state over the first one; 0 from a zero state."""
    sizes = np.linalg.norm(path.z, axis=1)
    return _log10(float(sizes.max() / sizes[0])) if sizes[0] > 0 else 0.0


def _log10(x: float) -> float:
    return math.log10(max(x, TINY))


def _cotangent(path: _Path, ahead: Vector, times: Sequence[float], cotangents: Vector) -> Vector:
    """log10 ‖a(t)‖ along the points, from ∂L/∂z at the observation times (K, D)."""
    sign = np.sign(path.t[-1] - path.t[0])
    a = np.zeros((path.blocks, path.jacobians.shape[-1]))
    waiting = len(times) - 1
    sizes = np.empty(len(path.t))
    for i in range(len(path.t) - 1, -1, -1):
        if i < len(ahead):
            a = np.einsum("bij,bi->bj", ahead[i], a)
        while waiting >= 0 and sign * times[waiting] >= sign * path.t[i]:
            a = a + cotangents[waiting].reshape(a.shape)
            waiting -= 1
        sizes[i] = _log10(norm(a.ravel()))
    return sizes


def _predicted_error(problem: Problem, setup: Setup, path: _Path, back: Vector) -> Vector:
    """Relative error of a reverse solve whose every step is wrong by its tolerance, (n,).

    P(t_i) = Φ P(t_i+1) Φᵀ + diag(tolerance²): errors of different steps add like random numbers.
    Right while they are small; it starts from zero again at every observation time.
    """
    settings = setup.backward
    scale = float(np.linalg.norm(path.z, axis=1).max()) or 1.0
    tolerance = (settings.rtol * np.abs(path.z) + settings.atol).reshape(
        len(path.z), path.blocks, -1
    )
    stops, sign = np.asarray(problem.ts[1:-1]), np.sign(path.t[-1] - path.t[0])
    p = np.zeros_like(path.jacobians[0, 0])
    found = np.zeros(len(path.t))
    for i in range(len(path.t) - 2, -1, -1):
        if np.any((sign * stops > sign * path.t[i]) & (sign * stops <= sign * path.t[i + 1])):
            p = np.zeros_like(p)
        with np.errstate(all="ignore"):
            p = back[i] @ p @ back[i].swapaxes(-1, -2)
        p = p + path.steps[i] * tolerance[i][:, :, None] ** 2 * np.eye(p.shape[-1])
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


def _stability_share(tableau: Tableau, path: _Path, eigenvalues: Any) -> float:
    """Share of the steps (the first tenth aside) whose size is what stability allows.

    h |λ| within a third of the stability interval, for the largest damped, hardly oscillating λ.
    """
    sign = np.sign(path.t[-1] - path.t[0])
    damped = (sign * eigenvalues.real < 0) & (np.abs(eigenvalues.imag) < np.abs(eigenvalues.real))
    rate = np.where(damped, np.abs(eigenvalues), 0.0).max(axis=(-1, -2)).mean(axis=1)
    use = rate * np.abs(np.diff(path.t)) / path.steps / stability_interval(tableau)
    settled = use[len(use) // 10 : -1]
    return float(np.mean((settled > 2 / 3) & (settled < 4 / 3))) if settled.size >= 20 else 0.0
