"""F and its branches along the dense output of a forward solve."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from node_diag.errors import ProblemError
from node_diag.field import Field
from node_diag.measure.trajectory import states_at
from node_diag.problem import Problem
from node_diag.references.branches import Pattern, Watch
from node_diag.solvers.solution import Solution
from node_diag.solvers.tableau import Tableau

MOST_POINTS = 400
PER_STEP = 4
"""Points of the trajectory in every accepted step; fewer where there are many steps."""
NUDGE, MOST_MOVERS = 1e-6, 16
"""Relative change of a parameter that may move a jump; entries of a parameter that is tried."""


class ForwardPath:
    """F along the dense output of the forward solve."""

    def __init__(self, problem: Problem, tableau: Tableau, solution: Solution) -> None:
        self.problem, self.tableau, self.solution = problem, tableau, solution
        self.field = Field(problem)
        self.reads = False
        edges = np.asarray([*solution.grid.starts(), solution.grid.t1])
        per_step = max(1, min(PER_STEP, MOST_POINTS // max(1, len(edges) - 1)))
        parts = np.arange(per_step) / per_step
        inside = (edges[:-1, None] + np.diff(edges)[:, None] * parts).ravel()
        every = np.append(inside, edges[-1])
        keep = np.unique(np.linspace(0, len(every) - 1, min(len(every), MOST_POINTS)).astype(int))
        self.times = [float(t) for t in every[keep]]
        self.states = dict(zip(self.times, self._at(np.asarray(self.times)), strict=True))
        self.values: dict[float, Tensor] = {}
        self.sizes = torch.stack([self.value(t).abs() for t in self.times]).amax(0)

    def _at(self, times: np.ndarray) -> list[Tensor]:
        found = states_at(self.problem, self.tableau, self.solution, times)
        return [torch.as_tensor(z).to(self.problem.flat_z0()) for z in found]

    def state(self, t: float) -> Tensor:
        """Z(t), (D,)."""
        if t not in self.states:
            self.states[t] = self._at(np.asarray([t]))[0]
        return self.states[t]

    def value(self, t: float) -> Tensor:
        """F on the trajectory."""
        if t not in self.values:
            self.values[t] = self.value_at(t, self.state(t))
        return self.values[t]

    def value_at(self, t: float, z: Tensor) -> Tensor:
        """F anywhere."""
        time = torch.tensor(t, dtype=z.dtype, device=z.device)
        with torch.no_grad():
            return self.field(time, z).detach()

    def move(self, early: float, late: float) -> np.ndarray:
        """|f(late) − f(early)| of every component, relative to its largest value, (D,)."""
        change = (self.value(late) - self.value(early)).abs()
        return torch.where(self.sizes > 0, change / self.sizes, 0.0).double().cpu().numpy()

    def mover(self, t: float) -> str:
        """A parameter by which the jump just before t can be moved past t; empty if there is none.

        One that f jumps in, at a fixed time and state, when it is changed by a millionth.
        """
        z = self.state(t)
        here = self.value(t)
        params = {name: p.detach() for name, p in self.problem.params.items()}
        for name, p in params.items():
            if p.numel() > MOST_MOVERS:
                continue
            for sign in (1, -1):
                moved = {**params, name: p + sign * NUDGE * p.abs().clamp(min=1e-3)}
                try:
                    with torch.no_grad():
                        time = torch.tensor(t, dtype=z.dtype, device=z.device)
                        there = self.field.with_params(moved)(time, z).detach()
                except ProblemError:
                    continue
                change = torch.where(self.sizes > 0, (there - here).abs() / self.sizes, 0.0)
                if float(change.max()) > 1e3 * NUDGE:
                    return name
        return ""

    def pattern(self, t: float) -> Pattern:
        """Branches on the trajectory."""
        return self.watched(t, self.state(t))[1]

    def watched(self, t: float, z: Tensor) -> tuple[Tensor, Pattern]:
        """F anywhere, and its branches there."""
        time = torch.tensor(t, dtype=z.dtype, device=z.device)
        with torch.no_grad(), Watch() as watch:
            value = self.field(time, z).detach()
        self.reads = self.reads or watch.reads
        return value, watch.pattern
