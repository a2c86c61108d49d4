"""The forward trajectory between its steps, and how far reverse-time states are from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from node_diag.field import Field
from node_diag.norms import norm
from node_diag.problem import Problem
from node_diag.solvers.runge_kutta import Step, dense_matrix, stages
from node_diag.solvers.solution import Solution
from node_diag.solvers.tableau import Tableau

Array = NDArray[np.float64]
DEPARTED = 1e-2
"""Relative error at which a reverse-time state has left the trajectory."""


def states_at(problem: Problem, tableau: Tableau, solution: Solution, times: Array) -> Array:
    """Dense output of the forward solve at ``times`` (n,) → (n, D), from its checkpoints."""
    f = Field(problem)
    starts = np.asarray(solution.grid.starts())
    sign = np.sign(solution.grid.t1 - solution.grid.t0)
    steps = np.clip(
        np.searchsorted(sign * starts, sign * times, side="right") - 1, 0, len(starts) - 1
    )
    found = np.empty((len(times), problem.layout.numel))
    with torch.no_grad():
        for i in np.unique(steps):
            mine = np.flatnonzero(steps == i)
            h, t, z = solution.grid.h[i], float(starts[i]), solution.checkpoints[i]
            ks, _ = stages(f, Step.make(tableau, t, h, z), z)
            weights = dense_matrix(tableau, (times[mine] - t) / h) * h
            k = torch.stack(ks).double().cpu().numpy()
            found[mine] = z.double().cpu().numpy() + weights @ k
    return found


@dataclass(frozen=True)
class Deviation:
    """A reverse-time trajectory t (n,), z (n, D), and its relative error (n,).

    A small component may be lost without a trace in that: ``component`` is the one that is off most
    relative to its own largest value ``size``, by ``component_error``.
    """

    t: Array
    z: Array
    error: Array
    component: int
    size: float
    component_error: float


def deviation(
    problem: Problem,
    tableau: Tableau,
    solution: Solution,
    reconstruction: Sequence[tuple[float, list[float]]],
    atol: float,
) -> Deviation:
    """‖z̄(t) − z(t)‖ / max_t ‖z(t)‖ at the times a reverse-time solve stepped to.

    Components that never exceed its ``atol`` were not asked to be right.
    """
    t = np.array([time for time, _ in reconstruction])
    z = np.array([state for _, state in reconstruction], dtype=np.float64)
    difference = z - states_at(problem, tableau, solution, t)
    scale = max(float(torch.linalg.vector_norm(c)) for c in solution.checkpoints)
    if scale == 0.0:
        error = np.where(np.any(difference != 0, axis=1), np.inf, 0.0)
    else:  # divided before it is squared: a state of 1e300 is still a number
        error = np.array([norm(row / scale) for row in difference])
    sizes = torch.stack(list(solution.checkpoints)).abs().amax(0).double().cpu().numpy()
    with np.errstate(all="ignore"):
        off = np.max(np.abs(difference), axis=0) / sizes
    off[~(sizes > atol)] = 0.0
    worst = int(np.argmax(off))  # a NaN is the largest
    return Deviation(t, z, error, worst, float(sizes[worst]), float(off[worst]))
