"""Gradients with dopri5 on van der Pol, forward and backward: ours and the libraries'."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torchdiffeq
from torch import Tensor, nn
from TorchDiffEqPack import odesolve_adjoint

from node_diag.gradients.base import Setup, run
from node_diag.measure.counting import count
from node_diag.registry import METHODS
from tests.bench.ratio import Ratio, alternate
from tests.bench.solving import RTOL, SETTINGS, vanderpol

Gradient = Callable[[], object]
PAIRS = 9


def ours(name: str) -> Gradient:
    """One of our methods."""
    problem, method, setup = vanderpol(), METHODS.load(name), Setup(SETTINGS, SETTINGS)
    return lambda: run(name, method, problem, setup)


class _Reached(nn.Module):
    """A field that counts those of its values that a backward pass reaches."""

    def __init__(self, func: nn.Module) -> None:
        super().__init__()
        self.func = func
        self.reached = 0

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        value = self.func(t, z)
        value.register_hook(self._reach)
        return value

    def _reach(self, _: Tensor) -> None:
        self.reached += 1


def torchdiffeqs(odeint: Callable[..., Tensor], func: nn.Module | None = None) -> Gradient:
    """Through the graph, or by its adjoint."""
    problem = vanderpol()
    f = func or problem.func
    ts = torch.tensor(problem.ts, dtype=torch.float64)

    def gradient() -> object:
        z0 = problem.flat_z0().requires_grad_()
        zs = odeint(f, z0, ts, rtol=RTOL, atol=RTOL, method="dopri5")
        return torch.autograd.grad(problem.loss(zs[1:]), [z0, *f.parameters()])

    return gradient


def torchdiffeqpacks() -> Gradient:
    """ACA by the paper's authors."""
    problem = vanderpol()
    options = {
        "method": "dopri5", "h": None, "t0": problem.t0, "t1": problem.t1,
        "rtol": RTOL, "atol": RTOL,
    }  # fmt: skip

    def gradient() -> object:
        z0 = problem.flat_z0().requires_grad_()
        z1 = odesolve_adjoint(problem.func, z0, options)
        loss = problem.loss(z1[None])
        return torch.autograd.grad(loss, [z0, *problem.params.values()])

    return gradient


def aca_over_odeint_adjoint() -> Ratio:
    """ACA over torchdiffeq's adjoint."""
    return alternate(ours("aca"), torchdiffeqs(torchdiffeq.odeint_adjoint), PAIRS)


def aca_over_torchdiffeqpacks() -> Ratio:
    """ACA over its authors'."""
    return alternate(ours("aca"), torchdiffeqpacks(), PAIRS)


def adjoint_over_odeint_adjoint() -> Ratio:
    """Adjoint over adjoint."""
    return alternate(ours("adjoint"), torchdiffeqs(torchdiffeq.odeint_adjoint), PAIRS)


def naive_over_odeint() -> Ratio:
    """Through all of the solver's graph, in both."""
    return alternate(ours("naive"), torchdiffeqs(torchdiffeq.odeint), PAIRS)


def naive_over_odeint_by_evaluation() -> Ratio:
    """The same, each over the evaluations of f that its backward pass goes through."""
    problem, setup = vanderpol(), Setup(SETTINGS, SETTINGS)
    _, counts = count("naive", METHODS.load("naive"), problem, setup, peak=False)
    theirs = _Reached(problem.func)
    torchdiffeqs(torchdiffeq.odeint, theirs)()
    return alternate(
        ours("naive"),
        torchdiffeqs(torchdiffeq.odeint),
        PAIRS,
        scale=(counts.nvjp_backward, theirs.reached),
    )


def direct_over_odeint() -> Ratio:
    """Through the accepted steps, over all of theirs."""
    return alternate(ours("direct"), torchdiffeqs(torchdiffeq.odeint), PAIRS)
