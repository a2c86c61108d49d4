"""What a gradient method is, and how one is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from node_diag.field import Field
from node_diag.gradients.stopwatch import Stopwatch
from node_diag.gradients.trail import TrailPoint
from node_diag.gradients.vjp import derivatives, vjp
from node_diag.problem import Problem
from node_diag.solvers.solution import Grid, Settings, Solution


@dataclass
class Gradient:
    """dL/dz0 (D,), dL/dts (K + 1,) with t0 first and t1 last, and dL/dθ by parameter name."""

    z0: Tensor
    ts: Tensor
    params: dict[str, Tensor]

    @property
    def t0(self) -> float:
        """dL/dt0 with z0 held fixed."""
        return float(self.ts[0])

    @property
    def t1(self) -> float:
        """dL/dt1."""
        return float(self.ts[-1])


@dataclass(frozen=True)
class Setup:
    """How a method is to be run.

    Attributes:
        forward: solver settings of the forward pass.
        backward: those of a reverse-time solve, for methods that have one.
        record: whether to note down where a backward pass goes through.
    """

    forward: Settings
    backward: Settings
    record: bool = False


@dataclass
class Tape:
    """What a forward pass leaves for the backward pass.

    Attributes:
        solution: the forward solve; ``solution.zs`` goes into the loss.
        z0, ts: the tensors the solve started from, leaves of the graph if there is one.
        kept: tensors held until the backward pass besides what autograd saves.
    """

    field: Field
    setup: Setup
    solution: Solution
    z0: Tensor
    ts: Tensor
    kept: Sequence[Tensor] = ()


@dataclass
class Backward:
    """What a backward pass gives.

    Attributes:
        n_steps: steps accepted (or redone) going backward.
        reconstruction: (t, z̄ as numbers) along a reverse-time solve, if it was recorded.
        trail: the adjoint state and the gradient so far, at some times, if they were recorded.
        knows_times: whether the gradient has a dL/dts.
    """

    gradient: Gradient
    n_steps: int = 0
    n_rejected: int = 0
    reconstruction: list[tuple[float, list[float]]] = field(
        default_factory=list[tuple[float, list[float]]]
    )
    trail: list[TrailPoint] = field(default_factory=list[TrailPoint])
    knows_times: bool = True


class GradientMethod(Protocol):
    """A way to get the gradient: one file in ``gradients/methods`` that defines ``METHOD``.

    Attributes:
        discrete: whether it claims the derivative of the accepted steps, so that it has to hit
            the discrete reference; the adjoint approximates the continuous gradient instead.
        constant_steps: whether that derivative is the one with the step sizes held constant.
        reconstructs: whether its backward pass runs through states it recomputes in reverse time.
    """

    @property
    def discrete(self) -> bool: ...  # noqa: D102 - see above

    @property
    def constant_steps(self) -> bool: ...  # noqa: D102

    @property
    def reconstructs(self) -> bool: ...  # noqa: D102

    def forward(self, field: Field, z0: Tensor, ts: Tensor, setup: Setup) -> Tape:
        """Solve from z0 (D,) through ts (K + 1,) and keep what the backward pass needs."""
        ...

    def backward(self, tape: Tape, cotangents: Tensor) -> Backward:
        """Gradient for the cotangents ∂L/∂z(ts[1:]) of shape (K, D)."""
        ...


@runtime_checkable
class WholeGradient(Protocol):
    """A method that does both passes by itself, so that there is nothing in between to look at."""

    def whole(self, f: Field, setup: Setup) -> tuple[float, Backward]:
        """Loss and gradient."""
        ...


@dataclass
class MethodRun:
    """A gradient and what it took. Times in seconds; one run, nothing else measured along."""

    method: str
    loss: float
    gradient: Gradient
    solution: Solution
    backward: Backward
    nfe_forward: int
    nfe_backward: int
    forward_s: float
    backward_s: float
    knows_times: bool = True
    kept: Sequence[Tensor] = ()


class Probe(Protocol):
    """An instrument that follows a run."""

    def on_field(self, field: Field) -> None:
        """The field the run evaluates, before its first evaluation."""
        ...

    def on_tape(self, tape: Tape) -> None:
        """What the forward pass left, before the backward pass."""
        ...


def run(
    name: str, method: GradientMethod, problem: Problem, setup: Setup, probe: Probe | None = None
) -> MethodRun:
    """Gradient of the problem's loss by one method.

    Raises:
        SolveError: a solve ended without an answer.
        ProblemError: f or the loss raised.
    """
    f = Field(problem)
    if probe is not None:
        probe.on_field(f)
    if isinstance(method, WholeGradient):
        return _run_whole(name, method, f, setup)
    z0 = problem.flat_z0().requires_grad_()
    ts = torch.tensor(problem.ts, dtype=torch.float64).requires_grad_()
    watch = Stopwatch(problem.device)
    tape = method.forward(f, z0, ts, setup)
    with torch.no_grad():
        loss = float(problem.loss_of(tape.solution.zs))
    watch.lap()
    nfe_forward = f.nfe
    if probe is not None:
        probe.on_tape(tape)
    cotangents, direct = loss_vjp(problem, tape.solution.zs)
    backward = method.backward(tape, cotangents)
    for parameter, extra in direct.items():
        backward.gradient.params[parameter] += extra
    watch.lap()
    forward_s, backward_s = watch.seconds()
    return MethodRun(
        method=name,
        loss=loss,
        gradient=backward.gradient,
        solution=tape.solution,
        backward=backward,
        nfe_forward=nfe_forward,
        nfe_backward=f.nfe - nfe_forward,
        forward_s=forward_s,
        backward_s=backward_s,
        knows_times=backward.knows_times,
        kept=tape.kept,
    )


def _run_whole(name: str, method: WholeGradient, f: Field, setup: Setup) -> MethodRun:
    problem = f.problem
    watch = Stopwatch(problem.device)
    loss, backward = method.whole(f, setup)
    watch.lap()
    unknown = problem.flat_z0().new_empty(0, problem.layout.numel)
    return MethodRun(
        method=name,
        loss=loss,
        gradient=backward.gradient,
        solution=Solution(list(problem.ts), unknown, Grid(problem.t0, problem.t1), [], []),
        backward=backward,
        nfe_forward=f.nfe,
        nfe_backward=0,
        forward_s=watch.seconds()[0],
        backward_s=0.0,
        knows_times=backward.knows_times,
    )


def loss_vjp(problem: Problem, zs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """∂L/∂zs (K, D), and ∂L/∂θ of parameters that the loss uses itself, outside the dynamics."""
    with torch.enable_grad():
        states = zs.detach().requires_grad_()
        loss = problem.loss_of(states)
        inputs = [states, *problem.params.values()]
        if not loss.requires_grad:
            return torch.zeros_like(zs), {}
        found = derivatives(loss, inputs)
    cotangents = torch.zeros_like(zs) if found[0] is None else found[0]
    pairs = zip(problem.params, found[1:], strict=True)
    return cotangents, {name: g for name, g in pairs if g is not None}


def by_parameter(f: Field, flat: Sequence[Tensor]) -> dict[str, Tensor]:
    """Parameter gradients by name; clones, so that they may be added to."""
    return {name: g.detach().clone() for name, g in zip(f.params, flat, strict=True)}


def backpropagate(tape: Tape, cotangents: Tensor) -> Backward:
    """Backward pass of the methods that keep the graph of their forward pass."""
    found = through_graph(tape.field, tape.solution.zs, tape.z0, tape.ts, cotangents)
    found.n_steps = tape.solution.n_accepted
    return found


def through_graph(f: Field, zs: Tensor, z0: Tensor, ts: Tensor, cotangents: Tensor) -> Backward:
    """Gradient of states zs (K, D) whose graph goes back to z0 (D,), ts (K + 1,) and θ."""
    found = vjp([zs], [z0, ts, *f.params.values()], [cotangents])
    return Backward(Gradient(found[0], found[1], by_parameter(f, found[2:])))
