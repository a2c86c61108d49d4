"""torchdiffeq: odeint through the graph, and odeint_adjoint.

It never steps to t1 but past it, and interpolates there; so its accepted steps reach further than
the interval, and the observations come from its dense output.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
import torchdiffeq
from torch import Tensor
from torchdiffeq._impl import adjoint as adjoint_module
from torchdiffeq._impl.odeint import SOLVERS as CLASSES

from node_diag.capturing.problem import SOLVERS
from node_diag.errors import MaxStepsError, NonFiniteError, StepUnderflowError
from node_diag.field import Field
from node_diag.gradients.base import Backward, Setup, Tape
from node_diag.gradients.peers.base import (
    LibraryMethod,
    LibraryTape,
    Replay,
    ShapedDynamics,
    Steps,
    everywhere,
    most_evaluations,
    step_size,
)
from node_diag.problem import State
from node_diag.solvers.runge_kutta import FlatField, number
from node_diag.solvers.solution import Settings

Options = dict[str, Any]
ADAPTIVE = ("dopri5", "dopri8", "bosh3", "fehlberg2", "adaptive_heun")
REPLAYED = (*ADAPTIVE, "euler", "midpoint", "heun2", "heun3", "rk4")
"""Solvers that can be made to take the same steps again: explicit ones of one step."""
OF_OURS = {ours: theirs for theirs, ours in SOLVERS.items()}


@dataclass(frozen=True)
class TorchdiffeqReplay(Replay):
    """Its accepted steps, taken again by its own solver.

    An adaptive one is told to end its steps at the times where they ended (``step_t``), and accepts
    them whatever their error; how a state between two of them is interpolated stays its own.
    """

    options: Options = field(default_factory=dict[str, Any])

    def __call__(self, f: FlatField, z0: Tensor, ts: Tensor) -> Tensor:
        """See :class:`.step_map.StepMap`."""
        times = ts if ts.dim() == 1 else ts[:, 0]
        arguments = self._adaptive if self.method in ADAPTIVE else self._fixed
        found: Any = torchdiffeq.odeint(
            everywhere(f), z0, times, method=self.method, **arguments(times)
        )
        return found[1:]

    def _ends(self, ts: Tensor) -> Tensor:
        return ts[0] + torch.tensor(self.h, dtype=torch.float64).cumsum(0)

    def _adaptive(self, ts: Tensor) -> Options:
        ends = self._ends(ts.detach())
        longest = 4 * max(map(abs, self.h))
        chosen = {"step_t": ends, "first_step": longest, "ifactor": 1e9, "max_step": longest}
        return {"rtol": 0.0, "atol": math.inf, "options": chosen}

    def _fixed(self, ts: Tensor) -> Options:
        grid = torch.cat([ts[:1], self._ends(ts)[:-1], ts[-1:]])

        def given(*_: Any) -> Tensor:
            return grid

        return {"options": {**self.options, "grid_constructor": given}}


class Torchdiffeq(LibraryMethod):
    """Autograd through ``odeint``, which leaves the starting step in the graph."""

    constant_steps = False

    library = "torchdiffeq"
    replay = TorchdiffeqReplay
    solvers = OF_OURS
    failures = (
        ("underflow in dt", StepUnderflowError),
        ("max_num_steps", MaxStepsError),
        ("non-finite values", NonFiniteError),
    )

    def solve(
        self, f: Field, z0: Tensor, ts: Tensor, setup: Setup, steps: Steps
    ) -> tuple[Tensor, list[Tensor]]:
        """One call of its solver, with the tolerances of the check."""
        layout = f.problem.layout
        func = ShapedDynamics(f, most_evaluations(setup.forward))
        if setup.record:
            _follow(func, steps, direction(ts), self.method_of(f, setup.forward))
        found = self._call(func, layout.unflatten(z0), ts.to(z0.device), f, setup)
        zs = layout.flatten(found, lead=1)
        return zs[1:], []

    def _call(self, func: ShapedDynamics, y0: State, t: Tensor, f: Field, setup: Setup) -> State:
        return cast("Any", torchdiffeq.odeint(func, y0, t, **self.arguments(setup.forward, t)))

    def method_of(self, f: Field, settings: Settings) -> str:
        """Torchdiffeq's name of the solver that is used."""
        return self.solver(settings)

    def arguments(self, settings: Settings, ts: Tensor) -> Options:
        """Keyword arguments of ``odeint``."""
        return {
            "rtol": settings.rtol,
            "atol": settings.atol,
            "method": self.solver(settings),
            "options": options(settings, ts),
        }


class TorchdiffeqAdjoint(Torchdiffeq):
    """``odeint_adjoint``: a second solve backward in time.

    Args:
        norm: of the reverse-time solve, as ``adjoint_options`` takes it; None: the library's.
    """

    discrete = False
    constant_steps = False
    reconstructs = True

    def __init__(self, norm: str | None = None) -> None:
        self.norm = norm

    def _call(self, func: ShapedDynamics, y0: State, t: Tensor, f: Field, setup: Setup) -> State:
        own = options(setup.backward, t)
        if self.norm is not None:
            own["norm"] = self.norm
        found: Any = torchdiffeq.odeint_adjoint(
            func,
            y0,
            t,
            **self.arguments(setup.forward, t),
            adjoint_rtol=setup.backward.rtol,
            adjoint_atol=setup.backward.atol,
            adjoint_options=own,
            adjoint_params=func.known,
        )
        return found

    def backward(self, tape: Tape, cotangents: Tensor) -> Backward:
        """Its reverse-time solves, their states noted down."""
        if not tape.setup.record:
            return super().backward(tape, cotangents)
        steps = cast("LibraryTape", tape).steps
        with reverse_states(steps, direction(tape.ts)):
            return super().backward(tape, cotangents)


def options(settings: Settings, ts: Tensor) -> Options:
    """What torchdiffeq calls ``options``."""
    if not settings.tableau.adaptive:
        return {"step_size": step_size(settings, ts)}
    longest = {} if settings.max_step is None else {"max_step": settings.max_step}
    return {"max_num_steps": settings.max_steps, **longest}


def direction(ts: Tensor) -> float:
    """1 forward in time, −1 backward."""
    return 1.0 if ts[-1] > ts[0] else -1.0


def _callbacks(method: str) -> set[str]:
    """Callbacks that a solver of its calls."""
    return CLASSES[method].valid_callbacks()


def _follow(func: ShapedDynamics, steps: Steps, sign: float, method: str) -> None:
    """Note accepted and rejected steps down, by the callbacks torchdiffeq looks for on f."""

    def accepted(t0: Tensor, _y0: Any, dt: Tensor) -> None:
        steps.t = number(t0)
        steps.h.append(sign * number(dt))

    def rejected(t0: Tensor, _y0: Any, dt: Tensor) -> None:
        steps.t = number(t0)
        steps.rejected.append((number(t0), sign * number(dt)))

    valid = _callbacks(method)
    callbacks = {"callback_accept_step": accepted, "callback_reject_step": rejected}
    if "callback_accept_step" not in valid:
        callbacks = {"callback_step": accepted}
    for name in valid & set(callbacks):
        object.__setattr__(func, name, callbacks[name])


@contextmanager
def reverse_states(steps: Steps, sign: float) -> Generator[None]:
    """Inside it, (t, z̄) along the solves that odeint_adjoint starts is noted down.

    They go from one observation to the one before, in times that increase (``sign``).
    """
    plain = adjoint_module.odeint

    def odeint(func: Any, y0: Any, t: Tensor, **arguments: Any) -> Any:
        def taken(t0: Tensor, state: Any, _dt: Tensor) -> None:
            steps.backward += 1
            steps.t = sign * number(t0)
            steps.path.append((steps.t, state[1].reshape(-1).tolist()))

        valid = _callbacks(arguments["method"] or "dopri5")
        for name in ("callback_accept_step", "callback_step"):
            if name in valid:
                setattr(func, name, taken)
                break
        found = plain(func, y0, t, **arguments)
        steps.path.append((sign * number(t[-1]), found[1][-1].reshape(-1).tolist()))
        return found

    adjoint_module.odeint = odeint
    try:
        yield
    finally:
        adjoint_module.odeint = plain
