"""Casts to fewer digits inside f, wherever they are."""

import pytest
import torch
from torch import nn

from node_diag import Problem, check
from node_diag.inspection.casts import loss_rounds, narrow_type, rounds_inside
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


def bfloat16(function):
    """F of a product under autocast, as mixed-precision training has it."""

    def f(t, z):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return function(t, z).float()

    return f


W = torch.tensor([[-1.0, 0.3], [0.1, -0.7]])


@pytest.mark.parametrize(
    ("f", "found"),
    [
        (bfloat16(lambda t, z: z @ W), "bfloat16"),
        (lambda t, z: -z + torch.tanh(z.half()), "float16"),
        (lambda t, z: -z + 0.1 * z.half().bfloat16().float(), "bfloat16"),  # the fewest of both
        (lambda t, z: z @ W, None),
        (lambda t, z: -z * (z > 0).half(), None),  # exact
        (lambda t, z: -z + 1e-4 * z.half(), None),  # 8 roundings of 1e-4 of f: 8e-7 of it
        (lambda t, z: -z * torch.ones_like(z, dtype=torch.half), None),
    ],
)
def test_fewer_digits_than_float32(f, found):
    def problem(dtype):
        return Problem(f, torch.tensor([1.0, 2.0], dtype=dtype), (0.0, 1.0), lambda zs: zs.sum())

    assert narrow_type(problem(torch.float32)) == found
    if found is not None and f.__name__ == "<lambda>":
        assert rounds_inside(problem(torch.float64))  # and then there is no truth


class Turning(nn.Module):
    """A rotation at 5.015 under autocast, where it is one at 5: bfloat16 has every 32nd there.

    After two units of time that is 0.03 radians, by which the gradient is turned as well.
    """

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([[0.0, 5.015], [-5.015, 0.0]]))

    def forward(self, t, z):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return (z @ self.w).float()


def check_turning(methods, **more):
    z0 = torch.tensor([[1.0, 0.5]])
    problem = Problem(Turning(), z0, (0.0, 2.0), lambda zs: zs[-1, 0, 0])
    return check(problem, methods=methods, rtol=1e-3, repeat=1, max_grad_error="1e-3", **more)


def test_autocast_is_named_and_the_method_is_not_blamed():
    report = check_turning(["aca"], target_error=0.5)
    (aca,) = report.methods
    assert aca.errors.continuous.judged > 0.01
    (split,) = [x for x in report.findings if x.code == "ND206"]
    assert split.severity == "warning"
    assert "the bfloat16 in which f computes" in split.message
    assert "precision dominates" in split.message
    assert not [x for x in report.findings if x.severity == "error"]
    assert report.gates[0].verdict == "fail"


def test_a_check_in_float64_says_that_it_sees_no_autocast():
    report = check_turning(["aca"], dtype="float64")
    assert report.methods[0].errors.discrete.judged < 1e-6
    (unseen,) = [x for x in report.findings if x.code == "ND206"]
    assert unseen.severity == "info"
    assert "enters autocast to bfloat16, which leaves float64 alone" in unseen.message


MINE = """
import torch

def mine(problem):
    func, params = problem.func, list(problem.params.values())
    start, (t0, t1) = problem.z0.clone().requires_grad_(), problem.ts
    z = start
    h = (t1 - t0) / 100
    for i in range(100):
        t = torch.tensor(t0 + i * h, dtype=z.dtype)
        k1 = func(t, z)
        k2 = func(t + h / 2, z + h / 2 * k1)
        k3 = func(t + h / 2, z + h / 2 * k2)
        k4 = func(t + h, z + h * k3)
        z = z + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    loss = z[0, 0]
    dz, dw = torch.autograd.grad(loss, [start, *params])
    return loss, {"z0": dz, "w": FACTOR * dw}
"""


@pytest.mark.parametrize(("factor", "blamed"), [(1, []), (2, ["mine"])])
def test_a_method_that_is_wrong_beside_autocast_is_blamed(tmp_path, factor, blamed):
    (tmp_path / "mine.py").write_text(MINE.replace("FACTOR", str(factor)))
    report = check_turning(["aca", f"{tmp_path / 'mine.py'}:mine"], target_error=0.5)
    assert [x.method for x in report.findings if x.severity == "error"] == blamed
