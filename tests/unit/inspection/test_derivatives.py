"""What autograd says of f and the loss, held against their values."""

import pytest
import torch

from node_diag import Problem
from node_diag.field import Field
from node_diag.inspection import derivatives
from node_diag.registry import SOLVERS
from node_diag.solvers.integrate import integrate
from node_diag.solvers.solution import Settings

K = torch.tensor([0.5, -0.3], dtype=torch.float64)


def inspect(func, loss=lambda zs: (zs**2).sum()):
    k = K.clone().requires_grad_()
    z0 = torch.tensor([1.0, 2.0], dtype=torch.float64)
    problem = Problem(lambda t, z: func(t, z, k), z0, (0.1, 1.0), loss, params={"k": k})
    settings = Settings(SOLVERS.load("dopri5"))
    solution = integrate(Field(problem), problem.flat_z0(), problem.ts, settings)
    return {(one.function, one.input) for one in derivatives.inspect(problem, solution)}


@pytest.mark.parametrize(
    "func",
    [
        lambda t, z, k: k * z * torch.cos(t),
        lambda t, z, k: torch.relu(k * z - 0.2) - z,
        lambda t, z, k: 1e-12 * k * z,
        lambda t, z, k: 1e12 * k * torch.sin(z) * 1e-12,
        lambda t, z, k: -z + 0 * k,
        lambda t, z, k: k * torch.sqrt(1 + z**2) - torch.exp(-t) * z.norm(),
    ],
    ids=["smooth", "relu", "tiny", "scaled", "without k", "mixed"],
)
def test_right_derivatives_are_not_accused(func):
    assert inspect(func) == set()


@pytest.mark.parametrize(
    ("func", "wrong"),
    [
        (lambda t, z, k: k * z * z.detach(), {("f", "z")}),
        (lambda t, z, k: k.detach() * z, {("f", "k")}),
        (lambda t, z, k: (k * z).detach(), {("f", "z"), ("f", "k")}),
        (lambda t, z, k: k * z * (1 + float(t)), {("f", "t")}),
        # A norm that is cut: the error is a small part of the derivative.
        (lambda t, z, k: k * z / (100 + z.norm().detach()), {("f", "z")}),
    ],
    ids=["z", "k", "both", "t", "part of it"],
)
def test_cut_graphs_are_seen(func, wrong):
    assert inspect(func) == wrong


def test_a_loss_that_leaves_the_graph_is_seen():
    def loss(zs):
        return torch.tensor(float(zs.detach().sum()), dtype=torch.float64)

    assert inspect(lambda t, z, k: k * z, loss) == {("loss", "zs")}
