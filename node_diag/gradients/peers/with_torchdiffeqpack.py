"""TorchDiffEqPack, by the authors of ACA: its checkpoint adjoint, and MALI's reversible one.

Both solve to one end time, so a problem is solved from each observation to the next, as its users
do. It computes with times in float32, whatever the state's precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from TorchDiffEqPack import odesolve_adjoint, odesolve_adjoint_sym12
from TorchDiffEqPack.odesolver import adaptive_grid_solver as adaptive
from TorchDiffEqPack.odesolver import fixed_grid_solver as fixed
from TorchDiffEqPack.odesolver.symplectic import sym12async_forward

from node_diag.errors import MaxStepsError
from node_diag.field import Field
from node_diag.gradients.base import Setup
from node_diag.gradients.peers.base import (
    Dynamics,
    LibraryMethod,
    Steps,
    everywhere,
    most_evaluations,
    step_size,
)
from node_diag.solvers.runge_kutta import FlatField, number
from node_diag.solvers.solution import Grid, Settings, Solution
from node_diag.solvers.step_map import StepMap

SOLVERS = {
    "euler": "euler",
    "midpoint": "rk2",
    "rk4": "rk4",
    "heun-euler": "rk12",
    "bosh3": "rk23",
    "dopri5": "dopri5",
}
STEP_OF: dict[str, Callable[..., Any]] = {
    "euler": fixed.Euler.step,
    "rk2": fixed.RK2.step,
    "rk4": fixed.RK4.step,
    "rk12": adaptive.RK12.step,
    "rk23": adaptive.RK23.step,
    "dopri5": adaptive.Dopri5.step,
}
States = tuple[Tensor, ...]
Func = Callable[[Tensor, States], States]
Step = Callable[[Func, Tensor, float, States], States]


class TorchDiffEqPack(LibraryMethod):
    """``odesolve_adjoint``: ACA."""

    library = "TorchDiffEqPack"
    solvers = SOLVERS

    def solve(
        self, f: Field, z0: Tensor, ts: Tensor, setup: Setup, steps: Steps
    ) -> tuple[Tensor, list[Tensor]]:
        """One call of its solver for every observation."""
        settings = setup.forward
        func = Dynamics(f, most_evaluations(settings))
        zs: list[Tensor] = []
        z = z0
        # Its solvers keep the state they start from, and no other, in a place hooks cannot see.
        kept: list[Tensor] = []
        for start, end in pairwise(ts):
            kept.append(z.detach())
            steps.t = number(start)
            z = self._segment(func, z, self._options(settings, ts, start, end))
            steps.h.extend(_sizes(number(start), z))
            steps.step_of.append(len(steps.h) - 1)
            _refuse_leap(steps, settings)
            zs.append(z)
        return torch.stack(zs), kept

    def _segment(self, func: Dynamics, z: Tensor, options: dict[str, Any]) -> Tensor:
        return odesolve_adjoint(func, z, options)

    def _options(
        self, settings: Settings, ts: Tensor, start: Tensor, end: Tensor
    ) -> dict[str, Any]:
        """What it calls ``options``; without an ``h`` it finds the first step itself."""
        return {
            "method": self._method(settings),
            "h": None if settings.tableau.adaptive else step_size(settings, ts),
            "t0": start,
            "t1": end,
            "rtol": settings.rtol,
            "atol": settings.atol,
            "neval_max": settings.max_steps,
        }

    def _method(self, settings: Settings) -> str:
        return self.solver(settings)

    def steps(self, f: Field, solution: Solution, setup: Setup) -> StepMap | None:
        """Its own steps, taken again."""
        if not solution.grid.h:
            return None
        step = STEP_OF[self.solver(setup.forward)]

        def advance(func: Func, t: Tensor, h: float, state: States) -> States:
            return step(None, func, t, h, state)[0]

        return SegmentReplay(
            solution.grid, setup.forward.tableau.stages, lambda _f, _t, z: (z,), advance
        )


class Mali(TorchDiffEqPack):
    """``odesolve_adjoint_sym12``: MALI, whose steps can be undone exactly."""

    def refuse(self, settings: Settings) -> None:
        """It has one solver of its own for all."""
        if settings.control != "state":
            super().refuse(settings)

    def _segment(self, func: Dynamics, z: Tensor, options: dict[str, Any]) -> Tensor:
        return odesolve_adjoint_sym12(func, z, options)

    def _method(self, settings: Settings) -> str:
        return "sym12async" if settings.tableau.adaptive else "fixedstep_sym12async"

    def steps(self, f: Field, solution: Solution, setup: Setup) -> StepMap | None:
        """Its own steps, taken again: of the state and a velocity that starts as f."""

        def begin(func: Func, t: Tensor, z: Tensor) -> States:
            return z, *func(t, (z,))

        def advance(func: Func, t: Tensor, h: float, state: States) -> States:
            return sym12async_forward(func, t, h, state)[0]

        return SegmentReplay(solution.grid, 1, begin, advance) if solution.grid.h else None


def _refuse_leap(steps: Steps, settings: Settings) -> None:
    """Raise if it ran out of steps, which it does not tell: the last one went all the way.

    Raises:
        MaxStepsError: it did.
    """
    if settings.tableau.adaptive and len(steps.h) > settings.max_steps:
        raise MaxStepsError(
            f"it took {settings.max_steps} steps of up to {max(map(abs, steps.h[:-1])):.1e} and "
            f"then, without a word, one of {abs(steps.h[-1]):.1e} to the end (raise --rtol)",
            steps.t,
        )


def _sizes(t0: float, z: Tensor) -> list[float]:
    """Sizes of the steps that led to z, as its graph node keeps them."""
    node: Any = z.grad_fn
    ends = [t0, *(number(t) for t in node.steps)]
    return [b - a for a, b in pairwise(ends)]


@dataclass(frozen=True)
class SegmentReplay:
    """Steps of its own, taken again; an observation is where those so far have come to.

    Attributes:
        begin: what a state is to a step, from one observation on.
        advance: that, a step further.
    """

    grid: Grid
    stages: int
    begin: Callable[[Func, Tensor, Tensor], States]
    advance: Step
    moves_times = False

    @property
    def evaluations(self) -> int:
        """Evaluations of f in one solve."""
        return len(self.grid.h) * self.stages

    def __call__(self, f: FlatField, z0: Tensor, ts: Tensor) -> Tensor:
        """See :class:`.step_map.StepMap`."""
        times = ts if ts.dim() == 1 else ts[:, 0]
        everyone = everywhere(f)

        def func(t: Tensor, state: States) -> States:
            return (everyone(t, state[0]),)

        t, z, seen = times[0], z0, list[Tensor]()
        last = -1
        for end in self.grid.step_of:
            state = self.begin(func, t, z)
            for h in self.grid.h[last + 1 : end + 1]:
                state = self.advance(func, t, h, state)
                t = t + h
            z, last = state[0], end
            seen.append(z)
        return torch.stack(seen)
