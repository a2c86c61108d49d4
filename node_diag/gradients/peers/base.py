"""What all libraries have in common: f as they take it, their errors as ours, one graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor, nn

from node_diag.errors import (
    BackwardError,
    MaxStepsError,
    ProblemError,
    SolveError,
    UsageError,
    moment,
    reraise_interrupt,
    said,
    when,
)
from node_diag.field import Field
from node_diag.gradients.base import Backward, Setup, Tape, through_graph
from node_diag.gradients.vjp import watched
from node_diag.registry import SOLVERS
from node_diag.solvers.runge_kutta import FlatField
from node_diag.solvers.solution import Grid, Settings, Solution
from node_diag.solvers.step_map import StepMap
from node_diag.solvers.tableau import Tableau

FailureOf = tuple[str, type[SolveError]]


@dataclass
class Steps:
    """The steps a library was seen to take.

    Attributes:
        h: sizes of those it accepted, signed.
        step_of: the step in which an observation lies, where the library stops at each.
        rejected: (t, h) of those it did not accept.
        t: where it was last.
        path: (t, z̄) along its reverse-time solve.
        backward: how many that took.
    """

    t: float
    h: list[float] = field(default_factory=list[float])
    step_of: list[int] = field(default_factory=list[int])
    rejected: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    path: list[tuple[float, list[float]]] = field(default_factory=list[tuple[float, list[float]]])
    backward: int = 0


@dataclass(frozen=True)
class Replay(ABC):
    """Accepted steps, taken again by the library's own solver.

    Attributes:
        h: sizes of the steps.
        method: the library's name for the solver.
        settings: those of the solve.
        moves_times: whether the solves of one call may differ in their times.
    """

    h: list[float]
    method: str
    settings: Settings
    moves_times = False

    @property
    def evaluations(self) -> int:
        """Evaluations of f in one solve."""
        return len(self.h) * self.settings.tableau.stages

    @abstractmethod
    def __call__(self, f: FlatField, z0: Tensor, ts: Tensor) -> Tensor:
        """See :class:`.step_map.StepMap`."""
        ...


class LibraryMethod(ABC):
    """A gradient method of another library.

    It takes the tolerances of the check and steps of its own, of which it is seen which it accepts:
    its gradient is held against the derivative of those.

    Attributes:
        library: what it is called.
        traces_control: whether the step-size control is in its graph.
        knows_times: whether it gives a gradient in the times.
        solvers: our solver → the library's name for it.
        failures: what its messages contain → what that means.
        replay: its solver, made to take the same steps again.
    """

    discrete = True
    constant_steps = True
    reconstructs = False
    traces_control = False
    knows_times = True
    library: str
    solvers: Mapping[str, str]
    failures: tuple[FailureOf, ...] = ()
    replay: type[Replay] | None = None

    @abstractmethod
    def solve(
        self, f: Field, z0: Tensor, ts: Tensor, setup: Setup, steps: Steps
    ) -> tuple[Tensor, list[Tensor]]:
        """Solve from z0 (D,) through ts (K + 1,); what was seen goes into ``steps``.

        Returns:
            zs (K, D) with the library's graph, and the tensors it holds besides that graph.
        """
        ...

    def steps(self, f: Field, solution: Solution, setup: Setup) -> StepMap | None:
        """The map of the steps it accepted; None if it claims nothing about them."""
        if self.replay is None or not (self.discrete and solution.grid.h):
            return None
        return self.replay(solution.grid.h, self.solver(setup.forward), setup.forward)

    def forward(self, field: Field, z0: Tensor, ts: Tensor, setup: Setup) -> Tape:
        """Its own solve."""
        self.refuse(setup.forward)
        times = ts.detach()
        steps = Steps(float(times[0]))
        with self._translated(steps):
            zs, kept = self.solve(field, z0, ts, setup, steps)
        grid = Grid(float(times[0]), float(times[-1]), steps.h, steps.step_of)
        solution = Solution(ts.tolist(), zs, grid, [], steps.rejected)
        return LibraryTape(field, setup, solution, z0, ts, kept, steps)

    def backward(self, tape: Tape, cotangents: Tensor) -> Backward:
        """Its own backward pass, by autograd."""
        steps = cast("LibraryTape", tape).steps
        with self._translated(steps), watched():
            found = through_graph(
                tape.field, tape.solution.zs, tape.z0, tape.ts, cotangents.to(tape.solution.zs)
            )
        found.n_steps = steps.backward if self.reconstructs else tape.solution.n_accepted
        found.reconstruction = steps.path
        found.knows_times = self.knows_times
        return found

    def solver(self, settings: Settings) -> str:
        """The library's name for the solver of the check.

        Raises:
            UsageError: it has none.
        """
        ours = name_of(settings.tableau)
        if ours not in self.solvers:
            raise UsageError(
                f"{self.library} has no solver '{ours}', so leave it out of --method or take "
                f"another --solver; it has {', '.join(self.solvers)}"
            )
        return self.solvers[ours]

    def refuse(self, settings: Settings) -> None:
        """Raise what the library does not offer.

        Raises:
            UsageError: sensitivities in the error control, or the solver.
        """
        if settings.control != "state":
            raise UsageError(
                f"{self.library} controls the error of the state alone: leave out --control, or "
                "leave it out of --method"
            )
        self.solver(settings)

    @contextmanager
    def _translated(self, steps: Steps) -> Generator[None]:
        """Errors of the library as ours."""
        try:
            yield
        except SolveError as error:
            error.reconstruction = steps.path
            raise
        except BackwardError as error:
            raise self._failure(error.__cause__ or error, steps) from error.__cause__
        except BaseException as error:
            reraise_interrupt(error)
            raise self._failure(error, steps) from error

    def _failure(self, error: BaseException, steps: Steps) -> Exception:
        if isinstance(error, SolveError):
            error.reconstruction = steps.path
            return error
        for words, kind in self.failures:
            if words in str(error):
                found = kind(f"{said(error)}, after t = {steps.t:.6g}", steps.t)
                found.reconstruction = steps.path
                return found
        return ProblemError(f"{self.library} raised {said(error)}")


@dataclass
class LibraryTape(Tape):
    """With the steps the library was seen to take."""

    steps: Steps = field(default_factory=lambda: Steps(0.0))


class Dynamics(nn.Module):
    """f as a library takes it: a module with the problem's own parameters.

    Contexts are not among them: where f is a module, that holds them as no parameter.

    Args:
        f: the field; states are flat, of shape (D,).
        most: evaluations before the solve is given up; some libraries would go on for ever.
    """

    def __init__(self, f: Field, most: float) -> None:
        super().__init__()
        self.field = f
        self.most = f.nfe + most
        func, contexts = f.problem.func, f.problem.contexts
        self.func = func if isinstance(func, nn.Module) and not contexts else None
        self._names = [name for name in f.params if name not in contexts]
        if self.func is None:
            # Plain tensors, not copies in an nn.Parameter: the gradient has to arrive at them.
            for i, name in enumerate(self._names):
                self._parameters[f"p{i}"] = cast("nn.Parameter", f.params[name])
        self._own = list(self._parameters.values())

    @property
    def known(self) -> tuple[Tensor, ...]:
        """What a library differentiates if it is told of nothing else."""
        return tuple(self.field.params[name] for name in self._names)

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        """dz/dt at one t and one z (D,)."""
        f = self.field
        if f.nfe >= self.most:
            words = f"{f.nfe} evaluations of f were not enough{when(t)}"
            raise MaxStepsError(words, moment(t))
        now = list(self._parameters.values())
        if any(a is not b for a, b in zip(now, self._own, strict=True)):  # functional_call
            f.nfe += 1
            own = dict(zip(self._names, cast("list[Tensor]", now), strict=True))
            return f.with_params({**f.params, **own})(t, z)
        return f(t, z)


class ShapedDynamics(Dynamics):
    """f of states in the problem's own shapes."""

    def forward(self, t: Tensor, z: Any) -> Any:
        """dz/dt at one t and one state."""
        layout = self.field.problem.layout
        return layout.unflatten(super().forward(t, layout.flatten(z)))


def name_of(tableau: Tableau) -> str:
    """What a solver of ours is called."""
    return next(name for name in SOLVERS.names() if SOLVERS.load(name) is tableau)


def most_evaluations(settings: Settings) -> float:
    """Evaluations that no solve within ``max_steps`` needs."""
    return 2.0 * (settings.tableau.stages + 2) * settings.max_steps


def step_size(settings: Settings, ts: Tensor) -> float:
    """|h| of fixed steps: what was asked for, else a hundredth of the interval."""
    return settings.step_size or abs(float((ts[-1] - ts[0]).detach())) / 100


def everywhere(f: FlatField) -> Callable[[Tensor, Tensor], Tensor]:
    """F of one time t for all rows of z, if z has rows."""

    def call(t: Tensor, z: Tensor) -> Tensor:
        return f(t if z.dim() == 1 else t.expand(len(z)), z)

    return call
