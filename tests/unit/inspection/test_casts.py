"""Casts to fewer digits inside f, wherever they are."""

import pytest
import torch
from torch import nn

from node_diag import Problem, check
from node_diag.inspection.casts import loss_rounds, rounds_inside
from tests.scenarios.cases import plain, tensor


def inside(f, z0=(1.0, 2.0), **more):
    return rounds_inside(plain(f, tensor(*z0), **more)())


def into_buffer(t, z):
    kept = torch.zeros(2, dtype=torch.float32)
    kept.copy_(z)
    return -z + kept


@pytest.mark.parametrize(
    "f",
    [
        lambda t, z: -z + torch.tanh(z.float()).double(),
        lambda t, z: -z + torch.tanh(z.half()),
        lambda t, z: -z * t.float(),
        lambda t, z: -z * (torch.ones(2, dtype=torch.float32) * t),  # t has no dimension to win by
        lambda t, z: -z * torch.tensor([float(t)]),
        lambda t, z: z.float() / torch.linalg.vector_norm(z.float()) - z,  # no scale is left in it
        into_buffer,
    ],
)
def test_a_branch_in_fewer_digits_is_found(f):
    assert inside(f)


@pytest.mark.parametrize(
    "f",
    [
        lambda t, z: -z,
        lambda t, z: -z * (z > 0).float(),  # exact
        lambda t, z: -z * torch.ones_like(z, dtype=torch.float32),
        lambda t, z: torch.where(z.float() > 0, -z, z),  # decides, and is no part of the value
        lambda t, z: -z + 1e-9 * z.float(),  # 6e-17 of f
        lambda t, z: -z + 0 * z.float().sum(),
        lambda t, z: -z * torch.floor(1e3 * t),
        lambda t, z: -z * torch.tensor([0.0, 1.0], dtype=torch.float64).float(),
        lambda t, z: -z + 1e-9 * t,
    ],
)
def test_what_does_not_move_f_is_none(f):
    assert not inside(f)


def test_a_state_of_zero_at_time_zero():
    assert inside(lambda t, z: -z + torch.sin(z.float()), (0.0, 0.0))


class Casts(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(2, 2)

    def forward(self, t, z):
        return self.net(z.float().to(self.net.weight.dtype))


def test_a_cast_to_its_own_precision_is_none():
    problem = Problem(Casts(), torch.randn(2), (0.0, 1.0), lambda zs: zs.sum())
    assert problem.dtype == torch.float32
    assert not rounds_inside(problem)
    z0 = torch.randn(2, dtype=torch.float64)
    assert rounds_inside(Problem(Casts().double(), z0, (0.0, 1.0), lambda zs: zs.sum()))


class Clock(nn.Module):
    """A common way to hand t to a network: the ones are of the default dtype."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(3, 2)

    def forward(self, t, z):
        return self.net(torch.cat([z, torch.ones(len(z), 1) * t], 1))


def test_a_float32_problem_may_make_tensors_of_the_default_dtype():
    """In float64 they are made in float64, so that its reference is a float64 one."""
    torch.manual_seed(0)
    problem = Problem(Clock(), torch.randn(4, 2), (0.1, 1.0), lambda zs: zs.square().mean())
    assert not rounds_inside(problem)
    report = check(problem, methods=["aca"], repeat=1, max_grad_error="1e-3")
    assert report.config.dtype == "float32"
    assert report.gates[0].verdict == "pass"
    assert torch.get_default_dtype() == torch.float32


def test_a_float64_problem_may_not():
    torch.manual_seed(0)
    z0 = torch.randn(4, 2, dtype=torch.float64)
    assert rounds_inside(Problem(Clock().double(), z0, (0.1, 1.0), lambda zs: zs.square().mean()))


@pytest.mark.parametrize(
    ("loss", "rounds"),
    [
        (lambda zs: zs.square().mean().float(), True),
        (lambda zs: zs.float().square().mean().double(), True),
        (lambda zs: torch.tensor(zs.square().mean().item()), True),
        (lambda zs: (zs - torch.ones(2, dtype=torch.float32)).square().mean(), False),
        (lambda zs: zs.square().mean(), False),
    ],
)
def test_a_loss_in_fewer_digits_is_found(loss, rounds):
    problem = Problem(lambda t, z: -z, tensor(1.0, 2.0), (0.0, 1.0), loss)
    assert loss_rounds(problem) is rounds


def test_there_is_no_truth_for_a_loss_in_fewer_digits():
    problem = Problem(
        lambda t, z: -z, tensor(1.0, 2.0), (0.0, 1.0), lambda zs: zs.square().mean().float()
    )
    report = check(problem, methods=["aca"], repeat=1, max_grad_error="1e-3")
    assert "the loss computes in float32" in report.references.continuous.reason
    assert not any(f.severity == "error" for f in report.findings)
    assert report.gates[0].verdict == "inconclusive"
