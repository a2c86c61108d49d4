"""The slope of the loss along one line by values of f only: the witness that autograd cannot sway.

Solves of the state alone, each with steps of its own, at inputs moved to both sides. So it also
sees what the sensitivity equations do not: a wrong backward formula inside f, and the jump of the
sensitivities where the state crosses a switch.
"""

from __future__ import annotations

import numpy as np
import torch

from node_diag.problem import Problem
from node_diag.references.base import Vector, flat_inputs, slices
from node_diag.references.forward_sensitivity import solve_states
from node_diag.references.frozen_map import input_scale
from node_diag.references.ladder import RATIO
from node_diag.references.linearize import Linearized

TOLERANCES = (1e-13, 1e-11)
STEPS: Vector = 1e-3 / RATIO ** np.arange(3, dtype=np.float64)
"""Relative to the inputs. The smallest is 7e-5: solves to 1e-13 give quotients to about 1e-9."""


def slope(problem: Problem, line: Vector) -> tuple[float, float]:
    """dJ/dx · v and its uncertainty, J the loss of the exact flow.

    Central differences at three steps make two Richardson extrapolations; the bar is how far these
    are apart, and how far the better one moves with the tolerance of the solves.

    Args:
        problem: float64, on the CPU.
        line: v, in z0 and the parameters (D + P,).

    Raises:
        NoReferenceError: a solve does not reach its end.
        ProblemError: f or the loss cannot be evaluated beside the inputs.
    """
    parts = slices(problem)
    main = slice(0, parts["ts"].start)
    base = flat_inputs(problem)[main]
    # Every input moves by a step or less, in its own units.
    reach = 1 / float(np.max(np.abs(line) / input_scale(problem)[main]))
    mine = problem.to(problem.dtype, problem.device, copy=True)  # parameters to move about
    system = Linearized(mine)

    def loss(inputs: Vector, rtol: float) -> float:
        for name, p in mine.params.items():
            p.copy_(torch.as_tensor(inputs[parts[f"params.{name}"]]).reshape(p.shape))
        states = solve_states(system, inputs[parts["z0"]].copy(), problem.ts, rtol)
        return float(mine.loss_of(torch.from_numpy(states)))

    def quotient(step: float, rtol: float) -> float:
        move = step * reach * line
        return (loss(base + move, rtol) - loss(base - move, rtol)) / (2 * step * reach)

    with torch.no_grad():
        fine, coarse = (_extrapolated([quotient(h, rtol) for h in STEPS]) for rtol in TOLERANCES)
    value = float(fine[-1])
    return value, float(abs(fine[-1] - fine[0]) + abs(fine[-1] - coarse[-1]))


def _extrapolated(quotients: list[float]) -> Vector:
    found = np.asarray(quotients)
    return (RATIO**2 * found[1:] - found[:-1]) / (RATIO**2 - 1)
