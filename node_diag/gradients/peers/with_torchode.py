"""torchode: backprop with and without gradients through the step-size control, and backsolve.

A problem is one sample of its batch, so that the whole state has one step size, as in the check.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

import torch
from torch import Tensor

from node_diag.errors import MaxStepsError, NonFiniteError, SolveError, StepUnderflowError
from node_diag.field import Field
from node_diag.gradients.base import Backward, Setup, Tape
from node_diag.gradients.peers.base import (
    Dynamics,
    LibraryMethod,
    Replay,
    Steps,
    most_evaluations,
    step_size,
)
from node_diag.solvers.runge_kutta import FlatField, number
from node_diag.solvers.solution import Settings

torchode: Any = import_module("torchode")  # its annotations are torchtyping's, no tensor's
status_codes: Any = import_module("torchode.status_codes")
SOLVERS = {
    "euler": "Euler",
    "heun": "Heun",
    "heun-euler": "Heun",
    "dopri5": "Dopri5",
    "tsit5": "Tsit5",
}
FAILED = {
    status_codes.REACHED_DT_MIN: ("the step size reached its minimum", StepUnderflowError),
    status_codes.REACHED_MAX_STEPS: ("max_steps were not enough", MaxStepsError),
    status_codes.INFINITE_NORM: ("the error norm is not finite", NonFiniteError),
}


class Dictated(torchode.FixedStepController):  # pyright: ignore[reportUntypedBaseClass]
    """Steps of given sizes, all accepted; from the last one on to the end."""

    def __init__(self, h: list[float]) -> None:
        super().__init__()
        self.sizes = iter([*h[:-1], math.copysign(math.inf, h[-1])])
        self.last = 0.0

    def next(self, like: Tensor) -> Tensor:
        """The next size, for every sample."""
        self.last = next(self.sizes, self.last)
        return torch.full_like(like, self.last)

    def init(
        self, term: Any, problem: Any, method_order: int, dt0: Any, *, stats: Any, args: Any
    ) -> Any:
        """See torchode."""
        return super().init(
            term, problem, method_order, self.next(problem.t_start), stats=stats, args=args
        )

    def adapt_step_size(
        self, t0: Tensor, dt: Tensor, y0: Tensor, step_result: Any, state: Any, stats: Any
    ) -> Any:
        """See torchode."""
        accept, _, state, status = super().adapt_step_size(t0, dt, y0, step_result, state, stats)
        return accept, self.next(dt), state, status


@dataclass(frozen=True)
class TorchodeReplay(Replay):
    """Its accepted steps, taken again by its own solver, many samples at once."""

    moves_times = True

    def __call__(self, f: FlatField, z0: Tensor, ts: Tensor) -> Tensor:
        """See :class:`.step_map.StepMap`."""
        if z0.dim() == 1:
            alone: FlatField = lambda t, z: f(t[0], z[0])[None]  # noqa: E731
            return self(alone, z0[None], ts[:, None])[:, 0]
        term = torchode.ODETerm(f, with_stats=False)
        stepper = getattr(torchode, self.method)(term=term)
        adjoint = torchode.AutoDiffAdjoint(
            stepper, Dictated(self.h), backprop_through_step_size_control=False
        )
        times = ts.T.expand(len(z0), -1)
        problem = torchode.InitialValueProblem(z0, times[:, 0], times[:, -1], times)
        return adjoint.solve(problem).ys[:, 1:].transpose(0, 1)


class Torchode(LibraryMethod):
    """``AutoDiffAdjoint``.

    Args:
        through_control: ``backprop_through_step_size_control``, which is on by default there.
    """

    library = "torchode"
    replay = TorchodeReplay
    solvers = SOLVERS

    def __init__(self, *, through_control: bool) -> None:
        self.traces_control = through_control
        self.constant_steps = not through_control

    def solve(
        self, f: Field, z0: Tensor, ts: Tensor, setup: Setup, steps: Steps
    ) -> tuple[Tensor, list[Tensor]]:
        """One call of its solver, with the tolerances of the check and its integral controller."""
        settings = setup.forward
        term = torchode.ODETerm(SampleDynamics(f, most_evaluations(settings)), with_stats=False)
        followed = self.follow(steps, len(z0)) if setup.record else None
        stepper = getattr(torchode, self.solver(settings))(term=term)
        adjoint = self.adjoint(term, stepper, controller(settings, term, followed), settings)
        times = self.times(ts, z0)[None]
        problem = torchode.InitialValueProblem(z0[None], times[:, 0], times[:, -1], times)
        found = adjoint.solve(problem, dt0=first_step(settings, times[0]))
        refuse(found.status, steps.t)
        return found.ys[0, 1:], []

    def times(self, ts: Tensor, z0: Tensor) -> Tensor:
        """The times as it takes them."""
        return ts.to(z0.device)

    def adjoint(self, term: Any, stepper: Any, control: Any, settings: Settings) -> Any:
        """The object that solves and differentiates."""
        return torchode.AutoDiffAdjoint(
            stepper,
            control,
            max_steps=settings.max_steps,
            backprop_through_step_size_control=self.traces_control,
        )

    def follow(self, steps: Steps, _n_state: int) -> Follower:
        """Notes steps down."""

        def note(t: float, h: float, _z: Tensor, *, accepted: bool) -> None:
            steps.t = t
            if accepted:
                steps.h.append(h)
            else:
                steps.rejected.append((t, h))

        return note


class TorchodeBacksolve(Torchode):
    """``BacksolveAdjoint`` or ``JointBacksolveAdjoint``: a second solve backward in time.

    It gives no gradient in the times, and does not say that a reverse solve failed: what came of it
    is returned as the gradient.
    """

    discrete = False
    reconstructs = True
    knows_times = False

    def __init__(self, kind: str) -> None:
        super().__init__(through_control=False)
        self.constant_steps = False
        self.kind = kind

    def backward(self, tape: Tape, cotangents: Tensor) -> Backward:
        """Its reverse-time solves, whose torch.func.vjp refuses to run under hooks."""
        with unhooked():
            return super().backward(tape, cotangents)

    def times(self, ts: Tensor, z0: Tensor) -> Tensor:
        """In the precision of the state: float64 beside float32 makes its reverse state float64."""
        return ts.to(z0)

    def adjoint(self, term: Any, stepper: Any, control: Any, settings: Settings) -> Any:
        """The object that solves and differentiates; one controller for both directions."""
        return getattr(torchode, self.kind)(term, stepper, control)

    def follow(self, steps: Steps, n_state: int) -> Follower:
        """Notes the steps of the forward solve down, then the states of the reverse ones."""
        forward = super().follow(steps, n_state)

        def note(t: float, h: float, z: Tensor, *, accepted: bool) -> None:
            if len(z) == n_state:
                forward(t, h, z, accepted=accepted)
            elif accepted:
                steps.backward += 1
                steps.t = t + h
                steps.path.append((t + h, z[1 : 1 + n_state].tolist()))

        return note


@contextmanager
def unhooked() -> Generator[None]:
    """Inside it, the hooks that count what autograd saves are off."""
    autograd: Any = cast("Any", torch._C)._autograd  # pyright: ignore[reportPrivateUsage]
    hooks = autograd._top_saved_tensors_default_hooks(False)
    if hooks is None:
        yield
        return
    autograd._pop_saved_tensors_default_hooks()
    try:
        yield
    finally:
        autograd._push_saved_tensors_default_hooks(*hooks)


class SampleDynamics(Dynamics):
    """f of a batch of one sample, or of one sample (as under vmap)."""

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        """dz/dt: t (1,) and z (1, D), or t () and z (D,)."""
        if z.dim() == 1:
            return super().forward(t.to(z.dtype), z)
        return super().forward(t[0].to(z.dtype), z[0])[None]


Follower = Callable[..., None]


def controller(settings: Settings, term: Any, follower: Follower | None) -> Any:
    """Its step-size controller at the tolerances of the check."""
    if not settings.tableau.adaptive:
        return Fixed(follower)
    return Integral(follower, settings.atol, settings.rtol, term=term, dt_max=settings.max_step)


def first_step(settings: Settings, ts: Tensor) -> Tensor | None:
    """The starting step of fixed ones; adaptive ones find theirs."""
    if settings.tableau.adaptive:
        return None
    sign = 1.0 if ts[-1] > ts[0] else -1.0
    return ts.new_full((1,), sign * step_size(settings, ts))


def refuse(status: Tensor, t: float) -> None:
    """Raise what a status other than success means.

    Raises:
        SolveError: by its kind.
    """
    code = int(status.max())
    if code:
        words, kind = FAILED.get(code, (f"status {code}", SolveError))
        raise kind(f"torchode gave up after t = {t:.6g}: {words}", t)


class Integral(torchode.IntegralController):  # pyright: ignore[reportUntypedBaseClass]
    """Its integral controller, with every trial told to a follower."""

    def __init__(self, follower: Follower | None, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.follower = follower

    def adapt_step_size(
        self, t0: Tensor, dt: Tensor, y0: Tensor, step_result: Any, state: Any, stats: Any
    ) -> Any:
        """See torchode."""
        found = super().adapt_step_size(t0, dt, y0, step_result, state, stats)
        if self.follower is not None:
            accepted = bool(found[0][0])
            self.follower(
                number(t0[0]), number(dt[0]), step_result.y[0].detach(), accepted=accepted
            )
        return found


class Fixed(torchode.FixedStepController):  # pyright: ignore[reportUntypedBaseClass]
    """Its fixed steps, each told to a follower."""

    def __init__(self, follower: Follower | None) -> None:
        super().__init__()
        self.follower = follower

    def adapt_step_size(
        self, t0: Tensor, dt: Tensor, y0: Tensor, step_result: Any, state: Any, stats: Any
    ) -> Any:
        """See torchode."""
        if self.follower is not None:
            self.follower(number(t0[0]), number(dt[0]), step_result.y[0].detach(), accepted=True)
        return super().adapt_step_size(t0, dt, y0, step_result, state, stats)
