"""Problems with closed forms that solver libraries publish in their own test suites."""

import math

import torch
from torch import Tensor, nn

from node_diag import Problem

DOUBLE = torch.float64


class Constant(nn.Module):
    """torchdiffeq: y' = a + (y − (a t + b))⁵, y = a t + b."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.2, dtype=DOUBLE))
        self.b = nn.Parameter(torch.tensor(3.0, dtype=DOUBLE))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.a + (y - (self.a * t + self.b)) ** 5

    def problem(self) -> Problem:
        return _problem(self, torch.tensor([0.2 + 3.0], dtype=DOUBLE), [1.0, 4.5, 8.0])

    @staticmethod
    def exact(ts, z0, params):
        """Only on the line itself, where all of z0, a and b are tied; not for derivatives."""
        a, b = params["a"], params["b"]
        return (a * ts[1:] + b)[:, None]


class Sine(nn.Module):
    """torchdiffeq: y' = 2y/t + t⁴ sin 2t − t² + 4t³ on [1, 8]."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return 2 * y / t + t**4 * torch.sin(2 * t) - t**2 + 4 * t**3

    def problem(self) -> Problem:
        start = torch.tensor([1.0], dtype=DOUBLE)
        return _problem(self, _sine(start), [1.0, 4.5, 8.0], self.exact)

    @staticmethod
    def exact(ts, z0, params):
        """y/t² = y0/t0² + what the inhomogeneity adds."""
        t, t0 = ts[1:], ts[:1]
        return (_sine(t) + (z0 - _sine(t0)) / t0**2 * t**2)[:, None].reshape(-1, 1)


def _sine(t):
    even = -0.5 * t**4 * torch.cos(2 * t) + 0.5 * t**3 * torch.sin(2 * t)
    return even + 0.25 * t**2 * torch.cos(2 * t) - t**3 + 2 * t**4 + (math.pi - 0.25) * t**2


class Linear(nn.Module):
    """torchdiffeq: y' = A y with A skew-symmetric, ten components."""

    def __init__(self):
        super().__init__()
        u = torch.randn(10, 10, generator=torch.Generator().manual_seed(0), dtype=DOUBLE) * 0.1
        self.A = nn.Parameter(2 * u - (u + u.T))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.A @ y

    def problem(self) -> Problem:
        return _problem(self, torch.ones(10, dtype=DOUBLE), [1.0, 4.5, 8.0], self.exact)

    @staticmethod
    def exact(ts, z0, params):
        return torch.stack([torch.matrix_exp(params["A"] * (t - ts[0])) @ z0 for t in ts[1:]])


class Logistic(nn.Module):
    """y' = r y (1 − y), as ODE test suites have it everywhere."""

    def __init__(self):
        super().__init__()
        self.r = nn.Parameter(torch.tensor(1.3, dtype=DOUBLE))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.r * y * (1 - y)

    def problem(self) -> Problem:
        return _problem(self, torch.tensor([0.1], dtype=DOUBLE), [0.0, 2.0, 5.0], self.exact)

    @staticmethod
    def exact(ts, z0, params):
        growth = torch.exp(params["r"] * (ts[1:] - ts[0]))[:, None]
        return z0 * growth / (1 - z0 + z0 * growth)


def _problem(func, z0, ts, exact=None):
    return Problem(
        func, z0, ts, lambda zs: zs.square().sum(), exact=exact, name=type(func).__name__.lower()
    )


SUITE = (Constant, Sine, Linear, Logistic)
