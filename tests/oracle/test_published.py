"""Our solvers and gradients on the problems that libraries test theirs with."""

import numpy as np
import pytest
import torch

from node_diag import gradient, solve
from node_diag.references.base import flatten
from node_diag.references.exact import exact_reference
from node_diag.references.sensitivity import sensitivity_reference
from tests.oracle.problems import SUITE, Constant

ADAPTIVE = ("heun-euler", "bosh3", "dopri5", "tsit5")
AMPLIFIED = 3e3
"""Error over tolerance. Sine grows 64-fold over its interval, and its local errors with it; a solver
takes at most a few hundred steps here, each within the tolerance: 64 × 50."""


def _states(problem):
    ts = torch.tensor(problem.ts, dtype=torch.float64)
    exact = problem.exact or Constant.exact
    return exact(ts, problem.z0, problem.params).detach().reshape(len(ts) - 1, -1)


@pytest.mark.parametrize("solver", ADAPTIVE)
@pytest.mark.parametrize("make", SUITE, ids=lambda make: make.__name__)
def test_states(make, solver):
    problem = make().problem()
    rtol = 1e-6
    found = solve(problem, solver, rtol=rtol, atol=rtol)
    truth = _states(problem)
    off = float((found.zs.detach() - truth).abs().max() / truth.abs().max())
    assert off <= AMPLIFIED * rtol


@pytest.mark.parametrize("method", ["aca", "direct", "naive", "adjoint"])
@pytest.mark.parametrize("make", SUITE[1:], ids=lambda make: make.__name__)
def test_gradients(make, method):
    problem = make().problem()
    found = flatten(gradient(problem, method, rtol=1e-8, atol=1e-8).gradient)
    truth = exact_reference(problem).value
    main = slice(0, truth.size - len(problem.ts))
    off = np.linalg.norm((found - truth)[main]) / np.linalg.norm(truth[main])
    assert off <= AMPLIFIED * 1e-8


def test_the_truth_of_a_problem_on_its_invariant_line():
    """On y = a t + b the fifth power and its derivative vanish: dL/dz0 = 2 Σ y, dL/da = 2 Σ y (t − t0).

    b has no influence: dL/db = 0.
    """
    problem = Constant().problem()
    found = sensitivity_reference(problem)
    t = np.array(problem.ts)
    y = 0.2 * t[1:] + 3.0
    expected = [2 * y.sum(), 2 * (y * (t[1:] - t[0])).sum(), 0.0]
    assert found.value[:3] == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert np.all(np.abs(found.value[:3] - expected) <= found.bar[:3] + 1e-12)
