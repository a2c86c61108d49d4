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


class DenseOutput:
    """The forward solve between its steps, from its checkpoints; one step's stages are kept."""

    def __init__(self, problem: Problem, tableau: Tableau, solution: Solution) -> None:
        self._f, self._n = Field(problem), problem.layout.numel
        self._tableau, self._solution = tableau, solution
        self._starts = np.asarray(solution.grid.starts())
        self._kept: tuple[int, Array] | None = None

    def __call__(self, times: Array) -> Array:
        """Its states at ``times`` (n,) → (n, D)."""
        grid, starts = self._solution.grid, self._starts
        sign = np.sign(grid.t1 - grid.t0)
        steps = np.clip(
            np.searchsorted(sign * starts, sign * times, side="right") - 1, 0, len(starts) - 1
        )
        found = np.empty((len(times), self._n))
        for i in np.unique(steps):
            mine = np.flatnonzero(steps == i)
            h, z = grid.h[i], self._solution.checkpoints[i]
            weights = dense_matrix(self._tableau, (times[mine] - float(starts[i])) / h) * h
            found[mine] = z.double().cpu().numpy() + weights @ self._stages(int(i))
        return found

    def _stages(self, i: int) -> Array:
        if self._kept is None or self._kept[0] != i:
            t, z = float(self._starts[i]), self._solution.checkpoints[i]
            with torch.no_grad():
                step = Step.make(self._tableau, t, self._solution.grid.h[i], z)
                ks, _ = stages(self._f, step, z)
            self._kept = i, torch.stack(ks).double().cpu().numpy()
        return self._kept[1]


def states_at(problem: Problem, tableau: Tableau, solution: Solution, times: Array) -> Array:
    """Dense output of the forward solve at ``times`` (n,) → (n, D)."""
    return DenseOutput(problem, tableau, solution)(times)


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
