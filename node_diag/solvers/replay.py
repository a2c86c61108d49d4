"""Redo accepted steps with their sizes constant: the map that "discrete gradient" refers to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from node_diag.solvers.runge_kutta import FlatField, Step, Time, combine, dense, stages
from node_diag.solvers.solution import Grid
from node_diag.solvers.tableau import Tableau


def redo_step(
    tableau: Tableau, f: FlatField, t: Time, z: Tensor, h: Time, taus: Sequence[Time] = ()
) -> tuple[Tensor, list[Tensor]]:
    """z(t + h) by one step, and the dense output at the times ``taus`` inside it.

    Stages that only the error estimate needs are left out.
    """
    count = tableau.stages if taus else tableau.stages_for_z1
    step = Step.make(tableau, t, h, z)
    ks, _ = stages(f, step, z, count=count)
    z1 = combine(z, ks[: tableau.stages_for_z1], step.b[: tableau.stages_for_z1])
    return z1, [dense(tableau, z, h, ks, (tau - t) / h) for tau in taus]


def observations(grid: Grid) -> list[list[int]]:
    """For every step the observations inside it that the dense output has to give.

    The last observation is the end of the last step itself and is not among them.
    """
    inside: list[list[int]] = [[] for _ in grid.h]
    for k, step in enumerate(grid.step_of[:-1]):
        inside[step].append(k)
    return inside


def replay(tableau: Tableau, f: FlatField, grid: Grid, z0: Tensor, ts: Tensor) -> Tensor:
    """Observed states of the frozen map for given z0 and times.

    Args:
        tableau: the method whose steps are redone.
        f: dynamics for z0's shape.
        grid: accepted step sizes; all are constant but the last, which closes onto ts[-1].
        z0: (D,) or, for B solves at once, (B, D).
        ts: (K + 1,) or (K + 1, B), float64.

    Returns:
        (K, D) or (K, B, D): states at ts[1:].
    """
    t, z = ts[0], z0
    seen: list[Tensor] = []
    for i, inside in enumerate(observations(grid)):
        h = grid.h[i] if i < len(grid.h) - 1 else ts[-1] - t
        z, dense = redo_step(tableau, f, t, z, h, [ts[k + 1] for k in inside])
        seen.extend(dense)
        t = t + h
    return torch.stack([*seen, z])
