"""Where the first NaN or infinity of a backward pass comes from: step, stage, evaluation of f."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from node_diag.field import Field
from node_diag.gradients.base import GradientMethod, Setup, Tape, run
from node_diag.problem import Problem
from node_diag.records import NanOrigin
from node_diag.solvers.solution import Grid


class _Probe:
    """Follows the cotangents of every value of f until one is not finite."""

    def __init__(self) -> None:
        self.grid: Grid | None = None
        self.finite: float | None = None
        self.broken: float | None = None

    def on_field(self, field: Field) -> None:
        field.on_value = self._hook

    def on_tape(self, tape: Tape) -> None:
        self.grid = tape.solution.grid

    def _hook(self, t: Tensor, value: Tensor) -> Tensor:
        if not value.requires_grad:
            return value
        value = value.view_as(value)
        time = float(t.detach())

        def look(cotangent: Tensor) -> None:
            if self.broken is not None:
                return
            if bool(torch.isfinite(cotangent).all()):
                self.finite = time
            else:
                self.broken = time

        value.register_hook(look)
        return value


def inspect(name: str, method: GradientMethod, problem: Problem, setup: Setup) -> NanOrigin | None:
    """Run a method again and note which evaluation of f the first bad cotangent arrives at.

    Cotangents arrive in the order of the backward pass, from t1 to t0. If all of them are finite
    the NaN comes from the derivative of f after the last one; None if nothing was evaluated.

    Raises:
        SolveError, ProblemError: as the method does.
    """
    probe = _Probe()
    run(name, method, problem, setup, probe)
    time = probe.finite if probe.broken is None else probe.broken
    if time is None or probe.grid is None:
        return None
    starts = np.array(probe.grid.starts())
    sign = np.sign(probe.grid.t1 - probe.grid.t0)
    step = int(np.clip(np.searchsorted(sign * starts, sign * time, "right") - 1, 0, None))
    nodes = np.array(setup.forward.tableau.c)
    stage = int(np.argmin(np.abs((time - starts[step]) / probe.grid.h[step] - nodes)))
    return NanOrigin(t=time, step=step, stage=stage, inside_f=probe.broken is None)
