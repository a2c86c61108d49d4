"""Forward solves: the loop that accepts and rejects steps, and what it leaves behind."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor

from node_diag.errors import MaxStepsError, NonFiniteError, StepUnderflowError
from node_diag.solvers.controller import Controller, starting_step
from node_diag.solvers.finiteness import Finiteness
from node_diag.solvers.runge_kutta import (
    FlatField,
    GraphStepper,
    InPlaceStepper,
    Time,
    Trial,
    number,
)
from node_diag.solvers.solution import Grid, Settings, Solution

Graph = Literal["none", "frozen", "traced"]
Source = Literal["start", "rejected", "accepted"]
SOURCES: frozenset[Source] = frozenset(("start", "rejected", "accepted"))
"""Where a traced step size gets its derivative from: the starting step, and the factors that the
controller multiplies it by after rejected and accepted trials."""
RUNAWAY = 1e3
"""Growth of the state that an underflowing step is explained by."""
OnStep = Callable[[float, Tensor], None]


def integrate(
    f: FlatField,
    z0: Tensor,
    ts: Sequence[float] | Tensor,
    settings: Settings,
    graph: Graph = "none",
    *,
    keep: bool = True,
    on_step: OnStep | None = None,
    sources: frozenset[Source] = SOURCES,
) -> Solution:
    """Solve dz/dt = f(t, z) from ts[0] through every time of ts, forward or backward in time.

    Observation times between steps come from the dense output and do not change the grid; the
    last time is hit exactly.

    Args:
        f: flat dynamics.
        z0: (D,).
        ts: plain numbers, or a float64 tensor to differentiate with respect to.
        settings: tableau and tolerances.
        graph: ``none``: no graph, in place; ``frozen``: graph of the accepted steps with their
            sizes constant (all but the last, which closes onto t1); ``traced``: graph of
            everything, step sizes included.
        keep: whether to keep the checkpoints.
        on_step: called with (t, z) after every accepted step.
        sources: of a traced step size, those that stay in the graph.

    With ``control="sensitivities"`` the steps are found first, on z and its tangents, and z is then
    solved on them; their sizes are constants to every graph.

    Raises:
        NonFiniteError, StepUnderflowError, MaxStepsError: the solve cannot go on, and where.
    """
    given = None
    if settings.control == "sensitivities" and settings.tableau.adaptive:
        given = _resolving_sensitivities(f, z0, ts, settings)
    with torch.set_grad_enabled(graph != "none"):
        return _Run(f, z0, ts, settings, graph, keep, on_step, sources).solve(given)


def _resolving_sensitivities(
    f: FlatField, z0: Tensor, ts: Sequence[float] | Tensor, settings: Settings
) -> Solution:
    """The solve of z and its tangents, whose steps the solve of z then takes."""
    from node_diag.solvers.sensitivity_control import TangentTolerance, with_tangents

    dynamics, start = with_tangents(cast("Any", f), z0.detach())
    tolerance = partial(TangentTolerance, n_state=z0.numel())
    alone = replace(settings, control="state", tolerance=tolerance)
    times = [number(t) for t in ts]
    return integrate(dynamics, start, [times[0], times[-1]], alone, keep=False)


class _Run:
    """One solve in progress."""

    def __init__(
        self,
        f: FlatField,
        z0: Tensor,
        ts: Sequence[float] | Tensor,
        settings: Settings,
        graph: Graph,
        keep: bool,
        on_step: OnStep | None,
        sources: frozenset[Source],
    ) -> None:
        self.settings, self.graph, self.keep, self.on_step = settings, graph, keep, on_step
        self.sources = sources
        plain = graph == "none"
        self.ts: list[Time] = [float(t) for t in ts] if plain else list(cast(Tensor, ts).unbind())
        tableau = settings.tableau
        self.stepper = InPlaceStepper(tableau, f, z0) if plain else GraphStepper(tableau, f)
        self.tolerance = settings.tolerance(settings.rtol, settings.atol, settings.norm)
        self.span = number(self.ts[-1]) - number(self.ts[0])
        self.t, self.z = self.ts[0], z0
        self.start = z0.detach()
        self.grid = Grid(number(self.ts[0]), number(self.ts[-1]))
        self.checkpoints = [z0.detach()] if keep else []
        self.rejected: list[tuple[float, float]] = []
        self.observed: list[Tensor] = []

    def solve(self, given: Solution | None = None) -> Solution:
        """All steps; with the sizes of another solve if one is given."""
        size = self.settings.step_size or abs(self.span) / 100
        if given is not None:
            self.rejected = given.rejected
            self._steps([*given.grid.h[:-1], math.inf])
        elif self.settings.tableau.adaptive:
            self._adaptive()
        else:
            self._steps(itertools.repeat(size))
        zs = torch.stack(self.observed)
        return Solution(
            [number(t) for t in self.ts], zs, self.grid, self.checkpoints, self.rejected
        )

    def _steps(self, sizes: Iterable[float]) -> None:
        """Steps whose sizes are known beforehand."""
        finiteness = Finiteness(self.z.device)
        for size in sizes:
            if self._finished():
                break
            self._count()
            step, _ = self._clip(math.copysign(size, self.span))
            trial = self.stepper.trial(
                self.t, self.z, step, self.stepper.derivative(self.t, self.z)
            )
            self._accept(trial, step)
            finiteness.note(self._now(), self.z)
        finiteness.look()

    def _adaptive(self) -> None:
        tableau = self.settings.tableau
        controller = Controller(tableau.error_order)
        k0 = self.stepper.derivative(self.t, self.z)
        h = self._first(k0)
        ceiling = None
        while not self._finished():
            self._count()
            step, clipped = self._clip(h)
            if number(step) == 0.0:
                raise StepUnderflowError(
                    f"the step size underflowed at t = {self._now():.6g}: no step meets the "
                    "tolerance",
                    self._now(),
                )
            trial = self.stepper.trial(self.t, self.z, step, k0)
            ratio = self._ratio(trial)
            factor = controller.factor(ratio, ceiling=ceiling)
            accepted = number(ratio) <= 1.0
            if ("accepted" if accepted else "rejected") not in self.sources:
                factor = number(factor)
            if accepted:
                self._accept(trial, step)
                k0 = trial.ks[-1]
                if not tableau.fsal and not self._finished():
                    k0 = self.stepper.derivative(self.t, self.z)
                ceiling = None
            else:
                self.rejected.append((self._now(), number(step)))
                k0 = trial.ks[0]
                ceiling = 1.0
                self._refuse_tiny(number(step) * number(factor), trial)
            if (
                self.graph != "traced"
            ):  # a clipped step is t1 − t, which has a graph; its retry has not
                step = number(step)
            h = step * factor if not (clipped and accepted) else h  # also where the ratio is NaN

    def _first(self, k0: Tensor) -> Time:
        if self.settings.first_step is not None:
            return math.copysign(self.settings.first_step, self.span)
        if not bool(torch.isfinite(k0).all()):
            raise NonFiniteError(f"f is NaN or infinite at t = {self._now()}", self._now())
        step = starting_step(
            self.stepper.derivative,
            self.t,
            self.z,
            k0,
            self.span,
            tolerance=self.tolerance,
            exponent=self.settings.tableau.error_order,
        ) * math.copysign(1.0, self.span)
        traced = self.graph == "traced" and "start" in self.sources
        return step.double().cpu() if traced else number(step)

    def _ratio(self, trial: Trial) -> Time:
        """Error over tolerance; a tensor only where the graph must know about it."""
        error = cast(Tensor, trial.error)
        if self.graph == "traced":
            return self.tolerance.ratio(error, self.z, trial.z1).double().cpu()
        if self.graph == "none":  # nothing has a graph, and to switch it off takes its time too
            return float(self.tolerance.ratio(error, self.z, trial.z1))
        with torch.no_grad():
            return float(self.tolerance.ratio(error, self.z, trial.z1))

    def _clip(self, h: Time) -> tuple[Time, bool]:
        """The step to try; it never passes t1, and a last one closes onto t1."""
        if (longest := self.settings.max_step) is not None and abs(number(h)) > longest:
            h = math.copysign(longest, self.span)
        left = number(self.ts[-1]) - self._now()
        # A sliver of 1e-9 h would be left over by rounding alone, as with h = T/100000.
        if abs(number(h)) >= abs(left) * (1 - 1e-9):
            return self.ts[-1] - self.t, True
        return h, False

    def _accept(self, trial: Trial, h: Time) -> None:
        """Move on to the new state, after reading off the observation times passed on the way."""
        size, start = number(h), self._now()
        t_next = self.t + h
        last = abs(number(t_next) - number(self.ts[-1])) <= 1e-12 * abs(size)
        if last:
            t_next = self.ts[-1]
        while len(self.observed) < len(self.ts) - 1:
            tau = self.ts[len(self.observed) + 1]
            if not last and (number(tau) - number(t_next)) * size > 0:
                break
            self.grid.step_of.append(len(self.grid.h))
            if last and number(tau) == number(t_next):
                self.observed.append(trial.z1)
                continue
            theta = (tau - self.t) / h
            self.observed.append(self.stepper.interpolate(self.z, h, trial, theta))
        self.grid.h.append(number(t_next) - start if last else size)
        self.t, self.z = t_next, trial.z1
        if self.keep:
            self.checkpoints.append(trial.z1.detach())
        if self.on_step:
            self.on_step(self._now(), trial.z1)

    def _now(self) -> float:
        return number(self.t)

    def _finished(self) -> bool:
        return len(self.observed) == len(self.ts) - 1

    def _count(self) -> None:
        if len(self.grid.h) + len(self.rejected) >= self.settings.max_steps:
            raise MaxStepsError(
                f"{self.settings.max_steps} steps were not enough; the solve stopped at "
                f"t = {self._now():.6g} of {number(self.ts[-1]):.6g} (raise --max-steps)",
                self._now(),
            )

    def _first_bad(self, trial: Trial) -> str:
        """The stage of the last trial in which f was not finite first."""
        for i, k in enumerate(trial.ks):
            if not bool(torch.isfinite(k).all()):
                step, stages = len(self.grid.h) + 1, len(trial.ks)
                return f" (f is not finite in stage {i + 1} of {stages} of step {step})"
        return ""

    def _refuse_tiny(self, h: float, trial: Trial) -> None:
        if abs(h) > 16 * math.ulp(max(abs(self._now()), abs(self.span) * 1e-6)):
            return
        if not bool(torch.isfinite(trial.z1).all()):
            raise NonFiniteError(
                f"the state becomes NaN or infinite after t = {self._now():.6g}"
                f"{self._first_bad(trial)}",
                self._now(),
            )
        error = StepUnderflowError(
            f"the step size underflowed at t = {self._now():.6g}: no step down to {abs(h):.1e} "
            "meets the tolerance",
            self._now(),
        )
        error.hint = self._grown()
        raise error

    def _grown(self) -> str:
        """That the state runs away, of the ODE's own accord or because a loose solve left it."""
        size, start = float(self.z.detach().abs().max()), float(self.start.abs().max())
        if not size > RUNAWAY * start > 0:
            return ""
        return (
            f"; the state is {size:.1e} there and was {start:.1e} at the start: the ODE blows up, "
            "or a loose solve left its solution (then a smaller --atol or --rtol helps)"
        )
