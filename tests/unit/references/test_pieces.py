"""Kinks of f are located, and the references pass them without losing digits or time."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch import nn

from node_diag import Problem
from node_diag.errors import NoReferenceError
from node_diag.references import pieces, sensitivity
from node_diag.references.forward_sensitivity import solve_sensitivity
from node_diag.references.linearize import Linearized
from node_diag.references.sensitivity import sensitivity_reference

T = 3.0


class Net(nn.Module):
    def __init__(self, seed, width=6):
        super().__init__()
        torch.manual_seed(seed)
        self.net = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 2)).double()
        turn = torch.tensor([[0.0, 3.0], [-3.0, 0.0]], dtype=torch.float64)
        with torch.no_grad():  # units that see z pass by, again and again
            self.net[2].weight.copy_(turn @ torch.linalg.pinv(self.net[0].weight))

    def forward(self, t, z):
        return self.net(z)


def network(seed, rows=4, ts=(0.0, T)):
    net = Net(seed)
    z0 = torch.randn(rows, 2, dtype=torch.float64)
    return Problem(net, z0, ts, lambda zs: zs[-1].square().mean())


def exponential(matrix):
    """Taylor's series to order 24 of a 16th, whose norm is below 3; torch's own has 11 digits."""
    term = total = torch.eye(3, dtype=torch.float64).expand_as(matrix)
    for n in range(1, 25):
        term = term @ matrix / 16 / n
        total = total + term
    for _ in range(4):
        total = total @ total
    return total


def linear_flow(net, z, active):
    """The exact flow (t,) ↦ z (t, 2) while these units are active: z′ = A z + b."""
    first, last = net.net[0], net.net[2]
    outer = last.weight * active
    top = torch.cat([outer @ first.weight, (outer @ first.bias + last.bias)[:, None]], 1)
    field = torch.cat([top, torch.zeros(1, 3, dtype=torch.float64)])
    start = torch.cat([z, torch.ones(1, dtype=torch.float64)])
    return lambda t: (
        exponential(field * torch.as_tensor(t, dtype=torch.float64)[:, None, None]) @ start
    )[:, :2]


def exact_row(net, z, end):
    """z(end) by matrix exponentials from kink to kink, and the kinks; f being continuous, moving
    a kink changes nothing to first order, so that autograd with the kinks held is exact."""
    found, t, active = [], 0.0, (net.net[0](z) > 0).double()
    while True:
        ahead = linear_flow(net, z, active)
        grid = np.linspace(1e-9, end - t, 400)
        with torch.no_grad():
            unit = lambda x, i, ahead=ahead: float(net.net[0](ahead([x]))[0, i])  # noqa: E731
            signs = (net.net[0](ahead(grid)) > 0).numpy()
            turns = [
                (brentq(unit, grid[j], grid[j + 1], (i,), xtol=1e-15), i)
                for i in range(signs.shape[1])
                for j in np.flatnonzero(np.diff(signs[:, i]))[:1]
            ]
        if not turns:
            return ahead([end - t])[0], found
        first, i = min(turns)
        active = active.clone()
        active[i] = 1 - active[i]
        t += first
        found.append(t)
        z = ahead([first])[0]


def exact(problem, end=T):
    """dL/d(z0, θ) and the kinks, from the piecewise linear flow of every row."""
    z0 = problem.z0.detach().clone().requires_grad_()
    params = list(problem.func.parameters())
    rows = [exact_row(problem.func, z, end) for z in z0]
    loss = torch.stack([z for z, _ in rows]).square().mean()
    gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, [z0, *params])])
    return gradient.numpy(), sorted(t for _, found in rows for t in found)


@pytest.mark.parametrize(
    ("columns", "seed"), [(2_000, 1), (2_000, 2), (2_000, 3), (0, 2)],
    ids=["forward", "forward", "forward", "adjoint"],
)  # fmt: skip
def test_the_gradient_of_a_relu_network_is_known_to_many_digits(seed, columns, monkeypatch):
    monkeypatch.setattr(sensitivity, "MOST_COLUMNS", columns)
    problem = network(seed)
    truth, turns = exact(problem)
    assert len(turns) >= 4
    reference = sensitivity_reference(problem)
    error = np.abs(reference.value[: truth.size] - truth)
    bar = reference.bar[: truth.size]
    # The truth's own round-off: 16 ulp, from four squarings, for each of its matrix exponentials.
    own = 16 * len(turns) * 2.0**-52 * np.linalg.norm(truth)
    assert (error <= bar + own).all()
    # A tolerance of 1e-11 for the coarse solve, and what a few dozen steps make of it.
    assert np.linalg.norm(bar) <= 1e-10 * np.linalg.norm(truth)
    # One step for a crossing, and a dozen for each of the pieces, of at most a hundredth.
    assert reference.details["steps"][1] < 2 * (150 + 12 * len(turns))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_kinks_are_located(seed):
    problem = network(seed)
    _, turns = exact(problem)
    system = Linearized(problem)
    found = pieces.kinks(system, problem.flat_z0().numpy(), 0.0, T, 1e-13)
    # The tolerance of z, 1e-13, over the speed with which a unit passes zero, amplified a little.
    np.testing.assert_allclose(found, turns, atol=1e-11)


def test_time_may_run_backward_and_kinks_be_observed():
    problem = Problem(
        lambda t, z: torch.relu(t - 1.0) * z, torch.ones(1, dtype=torch.float64), (3.0, 1.0, 0.25, 0.0),
        lambda zs: zs[-1].sum(),
    )  # fmt: skip
    system = Linearized(problem)
    found = solve_sensitivity(system, np.ones(1), problem.ts, 1e-13, stiff=False)
    # ∫ (t − 1) dt from 3 to 1 is −2. The tolerance, a few steps.
    np.testing.assert_allclose(found.s[:, 0, 0], np.exp([-2.0, -2.0, -2.0]), rtol=1e-11)


@pytest.mark.parametrize("columns", [2_000, 0], ids=["forward", "adjoint"])
def test_a_kink_in_the_time_costs_no_digits(columns, monkeypatch):
    monkeypatch.setattr(sensitivity, "MOST_COLUMNS", columns)
    k = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    problem = Problem(
        lambda t, z: -k * torch.relu(torch.sin(3 * t)) * z, torch.ones(2, dtype=torch.float64), (0.0, 5.0),
        lambda zs: zs[-1].sum(), params={"k": k},
    )  # fmt: skip
    reference = sensitivity_reference(problem)
    # ∫ relu(sin 3t) dt from 0 to 5: two full waves of 2/3, and 4π/3 to 5 of the third.
    area = 4 / 3 + (1 - np.cos(15 - 4 * np.pi)) / 3
    ends = np.exp(-0.7 * area)
    truth = np.array([ends, ends, -2 * area * ends])
    error = np.abs(reference.value[:3] - truth)
    assert (error <= reference.bar[:3]).all()
    assert np.linalg.norm(reference.bar[:3]) <= 1e-10 * np.linalg.norm(truth)


def test_with_nothing_non_smooth_f_is_one_piece():
    problem = Problem(
        lambda t, z: -z, torch.ones(2, dtype=torch.float64), (0.0, 0.5, 1.0), lambda zs: zs[-1].sum()
    )  # fmt: skip
    system = Linearized(problem)
    assert pieces.smooth_pieces(system, np.ones(2), problem.ts, 1e-13) == pieces.between(problem.ts)


def test_kinks_closer_than_a_crossing_is_wide_have_narrower_ones():
    apart = 1e-8
    problem = Problem(
        lambda t, z: (torch.relu(t - 0.5) - torch.relu(t - 0.5 - apart)) * 1e8 * z,
        torch.ones(1, dtype=torch.float64), (0.0, 1.0), lambda zs: zs[-1].sum(),
    )  # fmt: skip
    found = pieces.smooth_pieces(Linearized(problem), np.ones(1), problem.ts, 1e-13)
    assert [one.end for one in found[:-1]] == [one.start for one in found[1:]]
    assert sum(one.crossing for one in found) == 2
    assert all(one.end > one.start for one in found)


def test_too_many_kinks_are_said(monkeypatch):
    monkeypatch.setattr(pieces, "MOST_KINKS", 3)
    with pytest.raises(NoReferenceError, match="more than 3 kinks"):
        sensitivity_reference(network(1))
