"""Forward solves with dopri5 and without a graph: ours, torchdiffeq's, torchode's, and f alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torchdiffeq
import torchode
from torch import Tensor, nn

from node_diag import Problem
from node_diag.field import Field
from node_diag.loader import load
from node_diag.registry import SOLVERS
from node_diag.solvers.integrate import integrate
from node_diag.solvers.solution import Settings
from tests.bench.ratio import Ratio, alternate

RTOL = 1e-5
SETTINGS = Settings(SOLVERS.load("dopri5"), RTOL, RTOL)
ROWS = 128
TYPICAL, WIDE = (64, 1024), (1024, 64)
"""State and hidden width of networks whose evaluation takes more than a millisecond on one core:
one that is wider than its state, as most are, and one whose state is wider."""


class _Counted(nn.Module):
    """A field that counts its evaluations, as torchdiffeq does not."""

    def __init__(self, func: nn.Module) -> None:
        super().__init__()
        self.func = func
        self.nfe = 0

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        self.nfe += 1
        return self.func(t, z)


class _Rows(nn.Module):
    """The same for torchode, whose times and states have a batch in front."""

    def __init__(self, func: nn.Module) -> None:
        super().__init__()
        self.func = func

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        return self.func(t[0], z[0])[None]


class _Network(nn.Module):
    def __init__(self, state: int, hidden: int) -> None:
        super().__init__()
        layers = [nn.Linear(state, hidden), nn.Tanh(), nn.Linear(hidden, state)]
        self.net = nn.Sequential(*layers).double()

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        return self.net(z)


def vanderpol() -> Problem:
    """The oscillator, on one core."""
    torch.set_num_threads(1)
    return load("vanderpol")


def network(state: int, hidden: int) -> Problem:
    """A network that is expensive to evaluate."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    z0 = torch.randn(ROWS, state, dtype=torch.float64)
    func = _Network(state, hidden)
    return Problem(func, z0, (0.0, 20.0), lambda zs: zs[-1].square().mean(), name="network")


def ours(problem: Problem) -> tuple[Callable[[], object], int]:
    """Our solve, and its evaluations of f."""
    field, z0 = Field(problem), problem.flat_z0()
    integrate(field, z0, problem.ts, SETTINGS)
    return lambda: integrate(Field(problem), z0, problem.ts, SETTINGS), field.nfe


def over_torchdiffeq() -> Ratio:
    """Time of a solve, per evaluation of f."""
    problem = vanderpol()
    solve, nfe = ours(problem)
    ts, counted = torch.tensor(problem.ts, dtype=torch.float64), _Counted(problem.func)
    z0 = problem.flat_z0()

    @torch.no_grad()
    def theirs(func: nn.Module = problem.func) -> object:
        return torchdiffeq.odeint(func, z0, ts, rtol=RTOL, atol=RTOL, method="dopri5")

    theirs(counted)
    return alternate(solve, theirs, pairs=51, scale=(nfe, counted.nfe))


def over_torchode() -> Ratio:
    """Time of a solve, per evaluation of f."""
    problem = vanderpol()
    solve, nfe = ours(problem)
    ts = torch.tensor([problem.ts], dtype=torch.float64)
    counted = _Counted(_Rows(problem.func))
    start = torchode.InitialValueProblem(problem.flat_z0()[None], ts[:, 0], ts[:, -1], ts)

    @torch.no_grad()
    def theirs(func: nn.Module = counted.func) -> object:
        term = torchode.ODETerm(func, with_stats=False)
        control = torchode.IntegralController(RTOL, RTOL, term=term)
        return torchode.AutoDiffAdjoint(torchode.Dopri5(term=term), control).solve(start)

    theirs(counted)
    return alternate(solve, theirs, pairs=51, scale=(nfe, counted.nfe))


def over_bare_f() -> Ratio:
    """Time of a solve over calling f as often by itself."""
    return _over_bare(vanderpol(), pairs=101)


def over_slow_f() -> Ratio:
    """The same where f takes a millisecond or more."""
    return _over_bare(network(*TYPICAL), pairs=51)


def over_slow_f_of_a_wide_state() -> Ratio:
    """The same where reading and writing states takes time too."""
    return _over_bare(network(*WIDE), pairs=9)


def _over_bare(problem: Problem, pairs: int) -> Ratio:
    solve, nfe = ours(problem)
    t, z0 = torch.tensor(0.0, dtype=torch.float64), problem.layout.unflatten(problem.flat_z0())

    @torch.no_grad()
    def bare() -> None:
        for _ in range(nfe):
            problem.func(t, z0)

    return alternate(solve, bare, pairs=pairs)
