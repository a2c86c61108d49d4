"""The call of torchdiffeq that was captured, made again on the problem it posed."""

from __future__ import annotations

from typing import Any

import torchdiffeq
from torch import Tensor

from node_diag.capturing.call import Call
from node_diag.capturing.later import under, unreached
from node_diag.capturing.problem import settings_of
from node_diag.errors import WRONG_CALL, ProblemError, UsageError
from node_diag.field import Field
from node_diag.gradients.base import Backward, Setup, Tape
from node_diag.gradients.peers.base import ShapedDynamics, name_of
from node_diag.gradients.peers.with_torchdiffeq import (
    REPLAYED,
    Options,
    Torchdiffeq,
    TorchdiffeqAdjoint,
    TorchdiffeqReplay,
    options,
)
from node_diag.layout import State
from node_diag.solvers.solution import Settings, Solution
from node_diag.solvers.step_map import StepMap

INTERPOLATING = ("interp", "perturb")
"""Options of fixed-step solvers that decide what is between two steps, and on which side of it."""


class _Captured(Torchdiffeq):
    """A call as a script made it; what the check is asked to do otherwise is done otherwise.

    So a change of the script can be tried out before it is made.
    """

    name: str

    def refuse(self, settings: Settings) -> None:
        """The solver of the call is torchdiffeq's; another is looked at when it is called."""

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
        """The solver of the call, or the one it is to be tried with."""
        call = self.call(f)
        own = settings_of(call)["solver"]
        return call.method if name_of(settings.tableau) == own else self.solver(settings)

    def _call(self, func: ShapedDynamics, y0: State, t: Tensor, f: Field, setup: Setup) -> State:
        call = self.call(f)
        original: Any = getattr(torchdiffeq, self.name)
        if call.kept:
            raise ProblemError(
                f"{WRONG_CALL}: f keeps what it computed from {', '.join(call.kept)} in an earlier "
                "evaluation, without a graph, as all are in odeint_adjoint's forward pass, or from "
                "other values: what arrives there is not its gradient, or not all of it; compute "
                "it in every evaluation"
            )
        f.any_precision = call.autocast is not None or call.autocast_back is not None
        arguments = self._arguments(call, f, setup, t)
        if self._leaves_out_times(call):
            t = t.detach()
        with under(call.autocast):
            return original(func, y0, t.to(call.t.dtype), **arguments)

    def backward(self, tape: Tape, cotangents: Tensor) -> Backward:
        """As in the script, under autocast or not."""
        call = self.call(tape.field)
        with under(call.autocast_back):
            found = super().backward(tape, cotangents)
        found.knows_times = found.knows_times and not self._leaves_out_times(call)
        return found

    def _leaves_out_times(self, call: Call) -> bool:
        """Its adjoint takes dot products of two precisions for them, and raises."""
        return call.is_adjoint and call.autocast_back is not None

    def _arguments(self, call: Call, f: Field, setup: Setup, t: Tensor) -> Options:
        own, forward = settings_of(call), setup.forward
        found = dict(call.arguments)
        for name, value in (("rtol", forward.rtol), ("atol", forward.atol)):
            if value != own[name]:
                found[name] = value
        if name_of(forward.tableau) != own["solver"]:
            found |= {"method": self.solver(forward), "options": options(forward, t)}
        elif forward.step_size != own.get("step_size"):
            found["options"] = {"step_size": forward.step_size}
        elif forward.max_step is not None and forward.max_step != own.get("max_step"):
            found["options"] = {**(found.get("options") or {}), "max_step": forward.max_step}
        return found


class CapturedBackprop(_Captured):
    """A call of ``odeint``."""

    name = "odeint"

    def steps(self, f: Field, solution: Solution, setup: Setup) -> StepMap | None:
        """Its steps, taken again; not those around times at which f was said to jump."""
        call = self.call(f)
        method = self.method_of(f, setup.forward)
        if not solution.grid.h or "jump_t" in call.options or method not in REPLAYED:
            return None
        kept = {name: call.options[name] for name in INTERPOLATING if name in call.options}
        return TorchdiffeqReplay(solution.grid.h, method, setup.forward, kept)


class CapturedAdjoint(_Captured, TorchdiffeqAdjoint):
    """A call of ``odeint_adjoint``."""

    name = "odeint_adjoint"

    def _arguments(self, call: Call, f: Field, setup: Setup, t: Tensor) -> Options:
        """With the parameters it differentiated, where f is a copy of its f.

        Raises:
            ProblemError: that is not the gradient the script gets, and why.
        """
        if why := _wrong(call):
            raise ProblemError(f"{WRONG_CALL}: {why}")
        named = f.params if call.adjoint_params is None else call.adjoint_params
        chosen = [f.params[name] for name in named if name in f.params]
        found = super()._arguments(call, f, setup, t)
        own, backward = settings_of(call), setup.backward
        for name, value in (("adjoint_rtol", backward.rtol), ("adjoint_atol", backward.atol)):
            if value != own[name]:
                found[name] = value
        return {**found, "adjoint_params": tuple(chosen)}


def _wrong(call: Call) -> str:
    """Why the gradient of a call is not that of its f, where no call made again would show it."""
    if call.counted:
        return call.counted
    if call.changed:
        return (
            f"f was changed between the call and its backward pass ({call.changed}), and "
            "odeint_adjoint evaluates it there as it is then; call backward() first, or give each "
            "call an f of its own"
        )
    if names := unreached(call):
        return (
            f"in its backward pass f did not depend on {', '.join(names)}, as it does by itself; "
            "is it computed once and kept, without a graph, as in parametrize.cached()? "
            "odeint_adjoint's forward pass has no graph"
        )
    return ""
