"""What compiling buys, and from when on: torch.compile of one step, and diffrax, which is JAX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import torch
from torch import Tensor

from node_diag.registry import SOLVERS
from node_diag.solvers.tableau import Tableau
from tests.bench.gradients import ours as our_gradient
from tests.bench.ratio import said, timed
from tests.bench.solving import RTOL, ours, vanderpol

jax.config.update("jax_enable_x64", True)
STEPS, TIMES = 200, 7


@dataclass(frozen=True)
class Compiled:
    """One computation, as it is and compiled.

    Attributes:
        what: in words.
        unit: what is done over and over: a step, a solve, a gradient.
        plain, fast: seconds of one of them.
        compiling: seconds before the first one.
    """

    what: str
    unit: str
    plain: float
    fast: float
    compiling: float

    def markdown(self) -> str:
        """A row of the table."""
        gained = self.plain - self.fast
        even = f"{self.compiling / gained:,.0f} {self.unit}s" if gained > 0 else "never"
        return (
            f"| {self.what} | {said(self.plain)} | {said(self.fast)} | {self.plain / self.fast:.1f} "
            f"| {said(self.compiling)} | {even} |"
        )


def _several(work: Callable[[], object]) -> float:
    return median(timed(work) for _ in range(TIMES))


def one_step() -> Compiled:
    """A step of dopri5 on van der Pol with its error norm, by torch.compile."""
    problem, tableau = vanderpol(), SOLVERS.load("dopri5")
    solve, _ = ours(problem)
    solution: Any = solve()
    plain = _several(solve) / (solution.n_accepted + solution.n_rejected)
    step = torch.compile(_step(problem.func, tableau), fullgraph=True)
    t, h = (torch.tensor(x, dtype=torch.float64) for x in (0.0, 0.01))
    z = problem.flat_z0()
    with torch.no_grad():
        k0 = problem.func(t, z)
        compiling = timed(lambda: step(t, z, h, k0))

        def steps() -> None:
            for _ in range(STEPS):
                step(t, z, h, k0)

        fast = _several(steps) / STEPS
    return Compiled("one step, by torch.compile", "step", plain, fast, compiling)


def _step(f: Callable[[Tensor, Tensor], Tensor], tableau: Tableau) -> Callable[..., Any]:
    def step(t: Tensor, z: Tensor, h: Tensor, k0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ks, state = [k0], z
        for row, c in zip(tableau.a[1:], tableau.c[1:], strict=True):
            state = z + h * sum(w * k for w, k in zip(row, ks, strict=True))
            ks.append(f(t + c * h, state))
        assert tableau.e is not None
        error = h * sum(w * k for w, k in zip(tableau.e, ks, strict=True))
        scale = torch.maximum(z.abs(), state.abs()) * RTOL + RTOL
        return state, ks[-1], torch.linalg.vector_norm(error / scale) / z.numel() ** 0.5

    return step


def diffrax_solve() -> Compiled:
    """A forward solve, against ours."""
    solve, _ = ours(vanderpol())
    return _against(
        "forward solve, by diffrax", "solve", solve, jax.jit(_solve(diffrax.DirectAdjoint()))
    )


def diffrax_gradient() -> Compiled:
    """Its default gradient, backprop with recursive checkpoints, against our aca."""
    gradient = jax.jit(jax.grad(_solve(diffrax.RecursiveCheckpointAdjoint()), argnums=(0, 1)))
    return _against(
        "gradient, by diffrax (RecursiveCheckpointAdjoint), ours by aca", "gradient",
        our_gradient("aca"), gradient,
    )  # fmt: skip


def diffrax_adjoint() -> Compiled:
    """Its continuous adjoint against ours."""
    gradient = jax.jit(jax.grad(_solve(diffrax.BacksolveAdjoint()), argnums=(0, 1)))
    return _against(
        "gradient, by diffrax (BacksolveAdjoint), ours by adjoint", "gradient",
        our_gradient("adjoint"), gradient,
    )  # fmt: skip


def _against(what: str, unit: str, mine: Callable[[], object], theirs: Any) -> Compiled:
    problem = vanderpol()
    z0, mu = jnp.array(problem.flat_z0().numpy()), jnp.array(2.0)

    def run() -> object:
        return jax.block_until_ready(theirs(z0, mu))

    compiling = timed(run)
    mine()
    return Compiled(what, unit, _several(mine), _several(run), compiling)


def _solve(adjoint: Any) -> Callable[..., Any]:
    """(z0, μ) → loss of the problem, in JAX."""
    problem = vanderpol()

    def f(_t: Any, z: Any, mu: Any) -> Any:
        return jnp.array([z[1], mu * (1 - z[0] ** 2) * z[1] - z[0]])

    def loss(z0: Any, mu: Any) -> Any:
        found = diffrax.diffeqsolve(
            diffrax.ODETerm(f), diffrax.Dopri5(), problem.t0, problem.t1, None, z0, mu,
            stepsize_controller=diffrax.PIDController(rtol=RTOL, atol=RTOL),
            adjoint=adjoint, max_steps=4096,
        )  # fmt: skip
        return jnp.sum(found.ys[-1] ** 2)

    return loss


def rows() -> list[Compiled]:
    """All of them."""
    torch.set_num_threads(1)
    return [one_step(), diffrax_solve(), diffrax_gradient(), diffrax_adjoint()]
