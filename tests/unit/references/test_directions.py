"""Many parameters: reverse mode, and the bound that differences along random directions give."""

import numpy as np
import pytest
import torch
from torch import nn

from node_diag import Problem
from node_diag.field import Field
from node_diag.gradients.base import Setup, run
from node_diag.references import finite_difference
from node_diag.references.base import flatten, slices
from node_diag.references.directions import DIRECTIONS
from node_diag.references.finite_difference import frozen_reference
from node_diag.references.frame import error_bound, random_frame
from node_diag.registry import METHODS, SOLVERS
from node_diag.solvers.integrate import integrate
from node_diag.solvers.solution import Settings

DOPRI5 = SOLVERS.load("dopri5")
SETTINGS = Settings(DOPRI5, 1e-5, 1e-5)


class Scaled(torch.autograd.Function):
    """A linear layer whose backward formula is off by a factor in its weight."""

    factor = 1.1

    @staticmethod
    def forward(z, weight):
        return z @ weight.T

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        z, weight = ctx.saved_tensors
        return grad @ weight, Scaled.factor * (grad.T @ z)

    @staticmethod
    def vmap(info, in_dims, z, weight):
        z = z if in_dims[0] == 0 else z.expand(info.batch_size, *z.shape)
        weight = weight if in_dims[1] == 0 else weight.expand(info.batch_size, *weight.shape)
        return torch.einsum("bnd,bhd->bnh", z, weight), 0


class Net(nn.Module):
    def __init__(self, corrupted=False):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(2, 40).double(), nn.Linear(40, 2).double()
        self.middle = nn.Linear(40, 40, bias=False).double()
        self.corrupted = corrupted

    def forward(self, t, z):
        h = torch.tanh(self.first(z))
        middle = Scaled.apply(h, self.middle.weight) if self.corrupted else self.middle(h)
        return self.second(torch.tanh(middle))


def problem(corrupted=False):
    z0 = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return Problem(Net(corrupted), z0, (0.0, 0.5, 1.0), lambda zs: (zs**2).mean())


def reference(corrupted=False):
    own = problem(corrupted)
    solution = integrate(Field(own), own.flat_z0(), own.ts, SETTINGS)
    return own, frozen_reference(own, DOPRI5, solution.grid)


def test_the_same_gradient_as_perturbing_every_input(monkeypatch):
    own, proven = reference()
    monkeypatch.setattr(finite_difference, "MOST_INPUTS", 10_000)
    _, full = reference()
    assert proven.details["confidence"] == pytest.approx(0.999)
    main = slice(0, slices(own)["ts"].start)
    gap = np.linalg.norm(proven.value[main] - full.value[main])
    assert gap <= np.linalg.norm(full.bar[main]) + np.linalg.norm(proven.bar[main])
    # Differences are known to 1e-10 of the gradient; √(n/k) of their noise goes into the bound.
    assert np.linalg.norm(proven.bar[main]) < 1e-6 * np.linalg.norm(full.value[main])
    assert "disagreement" not in proven.details


def test_a_backward_formula_that_is_off_in_one_tensor_is_caught_and_named():
    own, found = reference(corrupted=True)
    assert set(found.details["disagreement"]) == {"middle.weight"}
    # 10 % of that tensor, estimated from four directions in it: within a factor of three.
    assert 0.03 < found.details["disagreement"]["middle.weight"] < 0.3
    part = slices(own)["params.middle.weight"]
    assert np.linalg.norm(found.bar[part]) >= 0.09 * np.linalg.norm(found.value[part])


def test_aca_hits_the_reference():
    own, found = reference()
    aca = run("aca", METHODS.load("aca"), own, Setup(SETTINGS, SETTINGS))
    main = slice(0, slices(own)["ts"].start)
    gap = np.abs(flatten(aca.gradient) - found.value)[main]
    assert np.linalg.norm(gap) <= np.linalg.norm(found.bar[main])


def test_the_bound_holds_and_ten_percent_are_caught():
    """Over 4,000 random frames, with an error that sits in a few entries of 500.

    The bound may fail once in a thousand; 4,000 trials at 1e-3 stay below 15 with probability
    1 - 3e-5. And an error of 0.1 is never below 1e-3 in all sixteen directions: that needs
    Beta(8, 242) < 1e-4, whose probability is below 1e-20.
    """
    n = 500
    error = np.zeros(n)
    error[:3] = 0.1 / np.sqrt(3)
    failures = 0
    for seed in range(4_000):
        seen = np.abs(random_frame(n, DIRECTIONS, seed) @ error)
        failures += error_bound(seen, n) < 0.1
        assert np.max(seen) > 1e-3
    assert failures < 15


def test_frames_are_orthonormal():
    frame = random_frame(300, DIRECTIONS)
    # Householder QR is orthonormal to a few ulp times the size of the matrix.
    np.testing.assert_allclose(frame @ frame.T, np.eye(DIRECTIONS), atol=1e-13)


def test_with_as_many_directions_as_inputs_nothing_is_left_to_chance():
    seen = random_frame(5, 5) @ np.array([3.0, 0.0, 0.0, 4.0, 0.0])
    assert error_bound(seen, 5) == pytest.approx(5.0, rel=1e-12)
