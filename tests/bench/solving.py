"""Our solver and ACA gradient against torchdiffeq's, on van der Pol with dopri5."""

from __future__ import annotations

import torch
import torchdiffeq

from node_diag.builtins import builtin_names
from node_diag.field import Field
from node_diag.gradients.base import Setup, run
from node_diag.loader import load
from node_diag.registry import METHODS, SOLVERS
from node_diag.solvers.integrate import integrate
from node_diag.solvers.solution import Settings
from tests.bench.ratio import Ratio, alternate

assert "vanderpol" in builtin_names()
RTOL = 1e-5
SETTINGS = Settings(SOLVERS.load("dopri5"), RTOL, RTOL)


class _Counted(torch.nn.Module):
    """A field that counts its evaluations, as torchdiffeq does not."""

    def __init__(self, func: torch.nn.Module) -> None:
        super().__init__()
        self.func = func
        self.nfe = 0

    def forward(self, t: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        self.nfe += 1
        return self.func(t, z)


def _problem():
    torch.set_num_threads(1)
    return load("vanderpol")


def forward_per_evaluation() -> Ratio:
    """Time of a forward solve without graph, per evaluation of f."""
    problem = _problem()
    ts = torch.tensor(problem.ts, dtype=torch.float64)
    field, counted = Field(problem), _Counted(problem.func)
    z0 = problem.flat_z0()

    @torch.no_grad()
    def theirs():
        return torchdiffeq.odeint(problem.func, z0, ts, rtol=RTOL, atol=RTOL, method="dopri5")

    with torch.no_grad():
        integrate(field, z0, problem.ts, SETTINGS)
        torchdiffeq.odeint(counted, z0, ts, rtol=RTOL, atol=RTOL, method="dopri5")

    def ours():
        return integrate(Field(problem), z0, problem.ts, SETTINGS)

    return alternate(ours, theirs, pairs=25, scale=(field.nfe, counted.nfe))


def over_bare_f() -> Ratio:
    """Time of a forward solve per evaluation, over f called by itself."""
    problem = _problem()
    field, z0, t = Field(problem), problem.flat_z0(), torch.tensor(0.0, dtype=torch.float64)
    integrate(field, z0, problem.ts, SETTINGS)

    @torch.no_grad()
    def bare():
        for _ in range(field.nfe):
            problem.func(t, z0)

    def ours():
        return integrate(Field(problem), z0, problem.ts, SETTINGS)

    return alternate(ours, bare, pairs=25)


def aca_gradient() -> Ratio:
    """Forward and backward of ACA over those of odeint_adjoint at the same tolerance."""
    problem = _problem()
    ts = torch.tensor(problem.ts, dtype=torch.float64)
    aca, setup = METHODS.load("aca"), Setup(SETTINGS, SETTINGS)

    def ours():
        return run("aca", aca, problem, setup)

    def theirs():
        z0 = problem.flat_z0().requires_grad_()
        zs = torchdiffeq.odeint_adjoint(problem.func, z0, ts, rtol=RTOL, atol=RTOL, method="dopri5")
        return torch.autograd.grad(problem.loss(zs[1:]), [z0, *problem.params.values()])

    return alternate(ours, theirs, pairs=9)
