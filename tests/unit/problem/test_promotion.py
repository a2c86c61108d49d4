"""A float32 problem in float64: what its f makes, casts and closes over goes along."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from node_diag import Problem, check
from node_diag.field import Field
from node_diag.inspection.casts import loss_rounds, rounds_inside

CONSTANT = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])
CPU = torch.device("cpu")


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Linear(2, 2)
        self.mask = torch.tensor([1.0, 0.5])  # no buffer


class Matrix(Plain):
    def forward(self, t, z):
        return self.net(torch.mm(z**3, CONSTANT))


class Masked(Plain):
    def forward(self, t, z):
        return self.net(z) * self.mask.float() + CONSTANT[0]


class Cast(Plain):
    def forward(self, t, z):
        return self.net(z.float().to(torch.float32).type_as(self.net.weight))


class Clock(Plain):
    def forward(self, t, z):
        column = torch.full((len(z), 1), float(t), dtype=torch.float32)
        return self.net(z) + torch.cat([column, torch.zeros_like(column) * t], 1)


class Filled(Plain):
    def forward(self, t, z):
        out = torch.zeros(z.shape, dtype=torch.float32)
        out.copy_(self.net(z))
        out += CONSTANT[0]
        return out


def problem(module, loss=lambda zs: zs.square().mean()):
    return Problem(module(), torch.tensor([[1.0, 0.3]]), (0.0, 0.5, 1.0), loss)


@pytest.mark.parametrize("module", [Matrix, Masked, Cast, Clock, Filled])
def test_it_has_all_digits_and_is_the_same_function(module):
    own = problem(module)
    precise = own.to(torch.float64, CPU)
    t, z = 0.3, own.flat_z0()
    low = Field(own)(torch.tensor(t), z)
    high = Field(precise)(torch.tensor(t, dtype=torch.float64), z.double())
    assert (low.dtype, high.dtype) == (torch.float32, torch.float64)
    # A few float32 roundings of terms of size one.
    assert torch.allclose(low.double(), high, rtol=0, atol=1e-6)
    assert not torch.equal(low.double(), high)
    assert not rounds_inside(own)


@pytest.mark.parametrize("module", [Matrix, Masked, Cast])
def test_it_can_be_batched(module):
    precise = problem(module).to(torch.float64, CPU)
    field = Field(precise)
    ts = torch.tensor([0.1, 0.4], dtype=torch.float64)
    zs = torch.randn(2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    many = field.batched([])(ts, zs, dict(precise.params))
    one = torch.stack([field(t, z) for t, z in zip(ts, zs, strict=True)])
    assert torch.allclose(many, one, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    "loss",
    [
        lambda zs: functional.mse_loss(zs[-1].float(), CONSTANT[:1]),
        lambda zs: functional.mse_loss(zs[-1] @ CONSTANT, torch.zeros(1, 2)),
    ],
)
def test_its_loss_has_all_digits_too(loss):
    own = problem(Masked, loss)
    assert not loss_rounds(own)
    report = check(own, methods=["aca"], repeat=1, max_grad_error="1e-3")
    assert report.config.dtype == "float32"
    assert [gate.verdict for gate in report.gates] == ["pass"]
    assert torch.get_default_dtype() == torch.float32


def test_a_float64_problem_is_taken_as_it_is():
    own = Problem(
        lambda t, z: -z.float().double(), torch.ones(2, dtype=torch.float64), (0.0, 1.0),
        lambda zs: zs.sum(),
    )  # fmt: skip
    z = torch.tensor([1 / 3, 1 / 7], dtype=torch.float64)
    value = Field(own.to(torch.float64, CPU))(torch.tensor(0.0, dtype=torch.float64), z)
    assert torch.equal(value, -z.float().double())
