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


def look(func, loss=lambda zs: (zs**2).sum(), z0=(1.0, 2.0)):
    k = K.clone().requires_grad_()
    z0 = torch.tensor(z0, dtype=torch.float64)
    problem = Problem(lambda t, z: func(t, z, k), z0, (0.1, 1.0), loss, params={"k": k})
    settings = Settings(SOLVERS.load("dopri5"))
    solution = integrate(Field(problem), problem.flat_z0(), problem.ts, settings)
    return derivatives.inspect(problem, solution)


def inspect(func, loss=lambda zs: (zs**2).sum()):
    wrong, on_kinks = look(func, loss)
    assert on_kinks == []
    return {(one.function, one.input) for one in wrong}


@pytest.mark.parametrize(
    ("func", "slopes"),
    [
        (lambda t, z, k: torch.relu(z), "z"),
        (lambda t, z, k: z.abs() - z, "z"),
        (lambda t, z, k: torch.maximum(z, 2 * z), "z"),
        (lambda t, z, k: z + torch.relu(k - K), "k"),
    ],
    ids=["relu", "abs", "maximum", "parameter"],
)
def test_a_trajectory_on_a_kink_has_two_slopes(func, slopes):
    wrong, on_kinks = look(func, z0=(0.0, 2.0))
    assert wrong == []
    (kink,) = on_kinks
    assert (kink.function, kink.input) == ("f", slopes)
    assert kink.slopes[0] != pytest.approx(kink.slopes[1], rel=1e-3)


def test_a_kink_in_the_time_leaves_the_gradient():
    knots = torch.tensor([0.1, 0.325, 0.55, 0.775, 1.0], dtype=torch.float64)
    wrong, on_kinks = look(lambda t, z, k: k * z + (t - knots).abs().sum())
    assert (wrong, on_kinks) == ([], [])


def test_a_kink_that_is_left_at_once_is_none():
    assert look(lambda t, z, k: torch.relu(z) - 0.3, z0=(0.0, 2.0)) == ([], [])


def test_a_loss_on_its_kink_has_two_slopes():
    wrong, (kink,) = look(
        lambda t, z, k: 0 * z, lambda zs: (zs - torch.tensor([1.0, 2.0])).abs().sum()
    )
    assert wrong == []
    assert (kink.function, kink.input) == ("loss", "zs")
    assert kink.slopes[0] == pytest.approx(-kink.slopes[1], rel=1e-9)


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
