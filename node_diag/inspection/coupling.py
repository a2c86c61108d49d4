"""A batch solved as one system: all rows take the steps that their common error norm asks for.

The root mean square over all rows hides a difficult row among easy ones: its own error may be
√B times the tolerance, and the easy rows take steps that they do not need.
"""

from __future__ import annotations

import numpy as np
import torch

from node_diag.field import Field
from node_diag.problem import Problem
from node_diag.records import Coupling
from node_diag.solvers.runge_kutta import GraphStepper
from node_diag.solvers.solution import Settings, Solution

MOST_STEPS = 200


def inspect(problem: Problem, settings: Settings, solution: Solution) -> Coupling | None:
    """Errors of every row in units of its own tolerance; None if there is no batch to couple.

    Args:
        problem: as it is solved.
        settings: of the forward solve.
        solution: its accepted steps.
    """
    tableau, shapes = settings.tableau, problem.layout.shapes
    if not tableau.adaptive or problem.layout.is_tuple or len(shapes[0]) < 2 or shapes[0][0] < 2:
        return None
    rows = shapes[0][0]
    stepper = GraphStepper(tableau, Field(problem))
    grid, starts = solution.grid, solution.grid.starts()
    chosen = np.unique(np.linspace(0, len(grid.h) - 1, min(len(grid.h), MOST_STEPS)).astype(int))
    ratios = np.empty((len(chosen), rows))
    with torch.no_grad():
        for k, i in enumerate(chosen):
            z = solution.checkpoints[i]
            trial = stepper.trial(starts[i], z, grid.h[i], stepper.derivative(starts[i], z))
            assert trial.error is not None  # the tableau is adaptive
            largest = torch.maximum(z.abs(), trial.z1.abs())
            scaled = trial.error / (settings.rtol * largest + settings.atol)
            ratios[k] = scaled.reshape(rows, -1).square().mean(1).sqrt().double().cpu().numpy()
    typical = np.median(ratios, axis=1)
    worst = int(np.argmax(np.mean(ratios, axis=0)))
    with np.errstate(all="ignore"):
        lead = np.where(typical > 0, ratios[:, worst] / typical, 1.0)
        alone = (typical / np.maximum(ratios.max(axis=1), 1e-300)) ** (1 / tableau.error_order)
    return Coupling(
        rows=rows,
        worst=worst,
        lead=float(np.median(lead)),
        over=float(np.max(ratios[:, worst])),
        share_alone=float(np.mean(alone)),
    )
