"""Calls of torchdiffeq that ran under autocast, as mixed-precision training makes them."""

from contextlib import nullcontext
from itertools import product

import pytest
import torch
from torch import nn
from torchdiffeq import odeint, odeint_adjoint

from node_diag import capture

T = torch.linspace(0.0, 1.0, 3)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))

    def forward(self, t, y):
        return self.net(y)


class Tuple(Net):
    """The state and what it adds up to, of which autocast makes two precisions."""

    def forward(self, t, y):
        return self.net(y[0]), y[0].sum(1)


class Turning(nn.Module):
    """A rotation at 5.015 under autocast, where it is one at 5: bfloat16 has every 32nd there."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([[0.0, 5.015], [-5.015, 0.0]]))

    def forward(self, t, y):
        return y @ self.w


def trained(f, y0, solve, *, inside=False, dtype=torch.bfloat16, t=T, tol=1e-3):
    """A training step whose forward pass ran under autocast, and its backward pass maybe."""
    autocast = torch.autocast("cpu", dtype=dtype)
    with capture() as captured:
        with autocast:
            y = solve(f, y0, t, rtol=tol, atol=tol)
            loss = (y[0] if isinstance(y, tuple) else y)[-1].square().mean()
        with autocast if inside else nullcontext():
            loss.backward()
    return captured


@pytest.mark.parametrize(
    ("solve", "inside", "dtype"),
    list(product([odeint, odeint_adjoint], [False, True], [torch.bfloat16, torch.float16])),
)
@pytest.mark.parametrize("kind", [Net, Tuple])
def test_the_call_is_made_again_as_it_was(kind, solve, inside, dtype):
    """To the last bit: the gradient that is judged is the one the script trains with."""
    torch.manual_seed(0)
    f, start = kind(), torch.randn(4, 2, requires_grad=True)
    y0 = (start, torch.zeros(4)) if kind is Tuple else start
    report = trained(f, y0, solve, inside=inside, dtype=dtype).check(repeat=1)
    call = report.methods[0]
    assert call.name.startswith("captured")
    assert call.failure is None
    found = call.gradient.tensors()
    for name, p in f.named_parameters():
        assert torch.equal(torch.tensor(found[name], dtype=p.dtype), p.grad.flatten())
    z0 = torch.tensor(found["z0"], dtype=start.dtype)
    assert torch.equal(z0[: start.numel()], start.grad.flatten())
    assert call.autocast.dtype == str(dtype).removeprefix("torch.")
    assert call.autocast.without < call.errors.continuous.judged
    assert any("the call ran under autocast to" in x.message for x in report.findings)
    assert not [x for x in report.findings if x.severity == "error"]


@pytest.mark.parametrize("solve", [odeint, odeint_adjoint])
def test_an_error_that_goes_with_autocast_has_no_other_cause(solve):
    y0, t = torch.tensor([[1.0, 0.5]], requires_grad=True), torch.tensor([0.0, 2.0])
    report = trained(Turning(), y0, solve, t=t, tol=1e-4).check(repeat=1, target_error=0.5)
    call = report.methods[0]
    assert call.errors.continuous.judged > 0.01
    mine = [x for x in report.findings if x.method == call.name]
    assert {x.code for x in mine if x.severity != "info"} == {"ND206"}
    (why,) = [x for x in mine if x.code == "ND206"]
    assert why.severity == "warning"
    assert why.evidence["without"] < why.evidence["error"] / 2
    assert "enabled=False" in why.advice


def test_in_float64_there_is_nothing_to_tell():
    """Autocast leaves it alone, in the script as well."""
    y0 = torch.tensor([[1.0, 0.5]], dtype=torch.float64, requires_grad=True)
    report = trained(Net().double(), y0, odeint).check(repeat=1)
    assert report.methods[0].autocast is None
    assert report.methods[0].errors.continuous.judged < 1e-3
