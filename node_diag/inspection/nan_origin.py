"""Where the first NaN or infinity of a backward pass comes from: f, the loss, or the method itself.

A cotangent that is not finite when it arrives at f may come from f's derivative at an evaluation
before, or from what the method does in between. So f's derivative is taken at every evaluation the
cotangents came through, by itself, with a finite cotangent.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from node_diag.errors import ProblemError
from node_diag.field import Field
from node_diag.gradients.base import GradientMethod, Setup, Tape, loss_vjp, run
from node_diag.gradients.vjp import vjp
from node_diag.problem import Problem
from node_diag.records import NanOrigin
from node_diag.solvers.solution import Grid, Solution

MOST = 20_000
"""Evaluations that are looked at."""
Place = tuple[float, Tensor]
Source = Literal["f", "loss", "method"]


class _Probe:
    """Follows the cotangents of every value of f until one is not finite."""

    def __init__(self) -> None:
        self.tape: Tape | None = None
        self.passed: list[Place] = []
        """Evaluations that finite cotangents arrived at, in the order of the backward pass."""
        self.broken: Place | None = None

    def on_field(self, field: Field) -> None:
        field.on_value = self._hook

    def on_tape(self, tape: Tape) -> None:
        self.tape = tape

    def _hook(self, t: Tensor, z: Tensor, value: Tensor) -> Tensor:
        if not value.requires_grad:
            return value
        value = value.view_as(value)
        place = float(t.detach()), z.detach()

        def look(cotangent: Tensor) -> None:
            if self.broken is not None:
                return
            if not bool(torch.isfinite(cotangent).all()):
                self.broken = place
            elif len(self.passed) < MOST:
                self.passed.append(place)

        value.register_hook(look)
        return value


def inspect(name: str, method: GradientMethod, problem: Problem, setup: Setup) -> NanOrigin | None:
    """Run a method again and find what makes its gradient infinite or NaN; None if nothing tells.

    Raises:
        SolveError, ProblemError: as the method does.
    """
    probe = _Probe()
    run(name, method, problem, setup, probe)
    if probe.tape is None:
        return None
    solution = probe.tape.solution
    found = _outside(problem, solution, probe.passed, setup)
    if found is not None:
        return found
    place = probe.broken or (probe.passed[-1] if probe.passed else None)
    return _origin(place[0], solution.grid, setup, "method") if place else None


def along(problem: Problem, setup: Setup, solution: Solution) -> NanOrigin | None:
    """The same of a reverse-time solve that ended without a gradient: along the forward states."""
    times = [*solution.grid.starts(), solution.grid.t1]
    places = list(zip(times, solution.checkpoints, strict=True))[::-1]
    return _outside(problem, solution, places[:MOST], setup)


def _outside(
    problem: Problem, solution: Solution, places: list[Place], setup: Setup
) -> NanOrigin | None:
    """Where the loss or f has a derivative that is not finite, coming from t1."""
    cotangents, direct = loss_vjp(problem, solution.zs.detach())
    if not all(bool(torch.isfinite(x).all()) for x in (cotangents, *direct.values())):
        return _origin(solution.grid.t1, solution.grid, setup, "loss")
    field = Field(problem)
    for t, z in places:
        if not _finite(field, t, z):
            return _origin(t, solution.grid, setup, "f")
    return None


def _finite(field: Field, t: float, z: Tensor) -> bool:
    """Whether f has a finite derivative where its value is finite."""
    state = z.detach().requires_grad_()
    try:
        with torch.enable_grad():
            value = field(torch.tensor(t, dtype=z.dtype, device=z.device), state)
        products = vjp([value], [state, *field.params.values()], [torch.ones_like(value)])
    except ProblemError:
        return True
    if not bool(torch.isfinite(value).all()):
        return True
    return all(bool(torch.isfinite(product).all()) for product in products)


def _origin(t: float, grid: Grid, setup: Setup, source: Source) -> NanOrigin:
    starts = np.array(grid.starts())
    sign = np.sign(grid.t1 - grid.t0)
    step = int(np.clip(np.searchsorted(sign * starts, sign * t, "right") - 1, 0, None))
    nodes = np.array(setup.forward.tableau.c)
    stage = int(np.argmin(np.abs((t - starts[step]) / grid.h[step] - nodes)))
    return NanOrigin(t=t, step=step, stage=stage, inside_f=source == "f", source=source)
