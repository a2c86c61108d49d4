"""The call of torchdiffeq that was captured, made again on the problem it posed."""

from __future__ import annotations

from typing import Any

import torchdiffeq
from torch import Tensor

from node_diag.capturing.call import Call
from node_diag.errors import UsageError
from node_diag.field import Field
from node_diag.gradients.base import Setup
from node_diag.gradients.peers.base import ShapedDynamics, Steps
from node_diag.gradients.peers.with_torchdiffeq import (
    Options,
    Torchdiffeq,
    TorchdiffeqAdjoint,
    TorchdiffeqReplay,
)
from node_diag.layout import State
from node_diag.solvers.solution import Settings, Solution
from node_diag.solvers.step_map import StepMap


class _Captured(Torchdiffeq):
    """A call as a script made it: its solver, tolerances and options."""

    name: str

    def refuse(self, settings: Settings) -> None:
        """Whatever the check is set to, the call is what it was."""

    def call(self, f: Field) -> Call:
        """The call that the problem is made of.

        Raises:
            UsageError: there is none, or one of the other function.
        """
        found = f.problem.call
        if not isinstance(found, Call) or found.name != self.name:
            other = f"it recorded {found.name} here" if isinstance(found, Call) else "it is none"
            raise UsageError(
                f"this method is the call of {self.name} that node-diag capture recorded; {other}"
            )
        return found

    def method_of(self, f: Field, settings: Settings) -> str:
        """The solver of the call."""
        return self.call(f).method

    def _call(
        self, func: ShapedDynamics, y0: State, t: Tensor, f: Field, setup: Setup, steps: Steps
    ) -> State:
        call = self.call(f)
        original: Any = getattr(torchdiffeq, self.name)
        return original(func, y0, t.to(call.t.dtype), **self._arguments(call, f))

    def _arguments(self, call: Call, f: Field) -> Options:
        return call.arguments


class CapturedBackprop(_Captured):
    """A call of ``odeint``."""

    name = "odeint"

    def steps(self, f: Field, solution: Solution, setup: Setup) -> StepMap | None:
        """Its steps, taken again; not those around times at which f was said to jump."""
        call = self.call(f)
        if not solution.grid.h or "jump_t" in (call.arguments.get("options") or {}):
            return None
        return TorchdiffeqReplay(solution.grid.h, call.method, setup.forward)


class CapturedAdjoint(_Captured, TorchdiffeqAdjoint):
    """A call of ``odeint_adjoint``."""

    name = "odeint_adjoint"

    def _arguments(self, call: Call, f: Field) -> Options:
        """With the parameters it differentiated, where f is a copy of its f."""
        chosen = [f.params[name] for name in call.adjoint_params or f.params]
        return {**call.arguments, "adjoint_params": tuple(chosen)}
