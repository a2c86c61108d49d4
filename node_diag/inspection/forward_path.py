"""F and its branches along the dense output of a forward solve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from node_diag.errors import ProblemError
from node_diag.field import Field
from node_diag.inspection.nudges import line, moved, own_size
from node_diag.measure.trajectory import DenseOutput
from node_diag.problem import Problem
from node_diag.references.branches import Pattern, Watch, swayed
from node_diag.solvers.solution import Solution
from node_diag.solvers.tableau import Tableau

MOST_POINTS = 400
PER_STEP = 4
"""Points of the trajectory in every accepted step; fewer where there are many steps."""
JUMP = 1e-6
"""Relative difference of f across a switch above which it is a jump."""
NEAR_ZERO = 1e-4
"""Part of a component's largest value on the trajectory below which its size is not counted. A jump
is then 1e-10 of that at the least, and what is smooth moves by less in a bracket of 1e-12."""
SWAY = 1e-4
"""Relative change of the state and the parameters that shows what depends on them."""


class ForwardPath:
    """F along the dense output of the forward solve, in float64 and with parameters of its own.

    Attributes:
        times: points of the trajectory, t0 and t1 among them.
        sizes: largest |f| of every component at them.
        state_line, lines: random directions in z and in every parameter, as large as they are.
        reads: whether f was seen to read a tensor into Python.
        differentiates: whether f differentiates something itself, so that a kink makes it jump.
    """

    def __init__(self, problem: Problem, tableau: Tableau, solution: Solution) -> None:
        self.problem = problem.to(torch.float64, torch.device("cpu"), copy=True)
        checkpoints = [z.double().cpu() for z in solution.checkpoints]
        self._dense = DenseOutput(self.problem, tableau, replace(solution, checkpoints=checkpoints))
        self.field = Field(self.problem)
        self.reads = self.differentiates = False
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
        largest = torch.stack([z.abs() for z in self.states.values()]).amax(0)
        self.state_line = line(torch.where(largest > 0, largest, 1.0))
        self.lines = {
            name: line(own_size(p), seed)
            for seed, (name, p) in enumerate(self.problem.params.items(), start=1)
        }
        self._swayed: dict[float, list[Tensor] | None] = {}

    def _at(self, times: np.ndarray) -> list[Tensor]:
        return [torch.as_tensor(z) for z in self._dense(times)]

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
        with torch.no_grad():
            return self.field(torch.tensor(t, dtype=z.dtype), z).detach()

    def move(self, early: float, late: float) -> np.ndarray:
        """|f(late) − f(early)| of every component, relative to its size there, (D,)."""
        early_value, late_value = self.value(early), self.value(late)
        return self.relative(late_value - early_value, early_value, late_value).numpy()

    def relative(self, change: Tensor, *beside: Tensor) -> Tensor:
        """|change| of f in every component, relative to the largest of its values beside it.

        A pulse elsewhere makes no jump small. But where a component passes through zero its
        rounding, and what is left of it in a narrow bracket, are no jump: ``NEAR_ZERO``.
        """
        sizes = torch.stack([NEAR_ZERO * self.sizes, *(value.abs() for value in beside)]).amax(0)
        return torch.where(sizes > 0, change.abs() / sizes, 0.0)

    def pattern(self, t: float) -> Pattern:
        """Branches on the trajectory."""
        z, time = self.state(t), torch.tensor(t, dtype=torch.float64)
        with torch.no_grad(), Watch() as watch:
            value = self.field(time, z)
        self.values[t] = value.detach()
        self.reads = self.reads or watch.reads
        self.differentiates = self.differentiates or watch.differentiates
        return watch.pattern

    def swayed(self, t: float) -> list[Tensor] | None:
        """By operation, the entries of its branch whose inputs depend on the state or parameters.

        Not on what they are, but whether they change at this time; None where that cannot be told.
        """
        if t not in self._swayed:
            self._swayed[t] = self._sway(t)
        return self._swayed[t]

    def _sway(self, t: float) -> list[Tensor] | None:
        z, time = self.state(t), torch.tensor(t, dtype=torch.float64)
        params = self.problem.params
        try:
            with torch.no_grad():
                with Watch(inputs=True) as here:
                    self.field(time, z)
                lines = [SWAY * self.lines[name] for name in params]
                with moved(list(params.values()), lines), Watch(inputs=True) as there:
                    self.field(time, z + SWAY * self.state_line)
        except ProblemError:
            return None
        return swayed(here.pattern, there.pattern)
