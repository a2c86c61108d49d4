"""Random linear systems, whose gradients come from the matrix exponential."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from node_diag import Problem
from node_diag.field import Field
from node_diag.gradients.base import Setup, run
from node_diag.registry import METHODS, SOLVERS
from node_diag.solvers.integrate import integrate
from node_diag.solvers.replay import replay
from node_diag.solvers.solution import Settings

RTOL = 1e-8
SETTINGS = Settings(SOLVERS.load("dopri5"), RTOL, RTOL)


@st.composite
def systems(draw):
    n = draw(st.integers(1, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    a = torch.randn(n, n, generator=generator, dtype=torch.float64)
    z0 = torch.randn(n, generator=generator, dtype=torch.float64)
    horizon = draw(st.sampled_from([-1.0, 0.3, 1.0, 2.0]))
    middle = draw(st.floats(0.05, 0.95))
    a.requires_grad_()
    ts = (0.0, middle * horizon, horizon)
    return Problem(lambda t, z: a @ z, z0, ts, lambda zs: zs.square().sum(), params={"a": a})


def truth(problem):
    a = problem.params["a"].detach().clone().requires_grad_()
    z0 = problem.flat_z0().requires_grad_()
    zs = torch.stack([torch.linalg.matrix_exp(a * t) @ z0 for t in problem.ts[1:]])
    return torch.autograd.grad(problem.loss(zs), [z0, a])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(systems())
def test_aca_is_the_matrix_exponentials_gradient(problem):
    found = run("aca", METHODS.load("aca"), problem, Setup(SETTINGS, SETTINGS)).gradient
    dz0, da = truth(problem)
    # Gradient error over rtol was 958 at most over 30 random problems.
    size = float(dz0.norm() + da.norm()) + 1.0
    assert float((found.z0 - dz0).norm() + (found.params["a"] - da).norm()) < 1e3 * RTOL * size


@settings(max_examples=40, deadline=None, derandomize=True)
@given(systems())
def test_replay_of_the_grid_gives_the_states_again(problem):
    solution = integrate(Field(problem), problem.flat_z0(), problem.ts, SETTINGS)
    ts = torch.tensor(problem.ts, dtype=torch.float64)
    again = replay(SETTINGS.tableau, Field(problem), solution.grid, problem.flat_z0(), ts)
    # The same products in the same order; only the last size is rounded once more.
    torch.testing.assert_close(again, solution.zs, rtol=1e-13, atol=1e-15)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(systems())
def test_there_and_back_again(problem):
    """Forward, then backward in time from where it ended, is z0 within the growth of both ways."""
    there = integrate(Field(problem), problem.flat_z0(), (0.0, problem.t1), SETTINGS)
    back = integrate(Field(problem), there.zs[-1], (problem.t1, 0.0), SETTINGS)
    growth = float(
        torch.linalg.matrix_exp(problem.params["a"].detach().abs() * abs(problem.t1)).norm()
    )
    steps = there.n_accepted + back.n_accepted
    scale = float(there.zs[-1].norm() + problem.flat_z0().norm()) + 1.0
    bound = steps * RTOL * scale * growth**2
    assert float((back.zs[-1] - problem.flat_z0()).norm()) < bound
