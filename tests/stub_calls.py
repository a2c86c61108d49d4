"""Calls of torchdiffeq with an f that holds more than its parameters."""

import torch
from torch import nn
from torchdiffeq import odeint_adjoint

from node_diag import capture, gradient

T = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
ONES, CODE = torch.ones(2, dtype=torch.float64), torch.ones(3, dtype=torch.float64)


class Held(nn.Module):
    """f that reads scale and shift, which somebody has put there."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Linear(2, 2, dtype=torch.float64)
        self.scale, self.shift = torch.ones(2).double(), torch.zeros(2).double()

    def forward(self, t, y):
        return torch.tanh(self.net(y)) * self.scale + self.shift


class Shared(Held):
    """With copies that share everything with it."""

    def __deepcopy__(self, memo):
        other = type(self).__new__(type(self))
        nn.Module.__init__(other)
        other.__dict__.update(self.__dict__)
        return other


def encoder(n=4):
    torch.manual_seed(1)
    return nn.Linear(3, n, dtype=torch.float64)


def trained(func, *, adjoint_params=None, solve=odeint_adjoint, **options):
    """The call, captured, after its backward pass."""
    if adjoint_params is not None:
        options["adjoint_params"] = adjoint_params
    with capture() as captured:
        solve(func, ONES, T, **options)[-1].square().sum().backward()
    return captured


def told(captured):
    """What the check says that the call's gradient is, by name."""
    problem = captured.problem
    return gradient(problem, problem.call.checked_by, **problem.settings).gradient.params
