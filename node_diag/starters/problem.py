"""A Neural ODE to start from: replace the network, the data and the loss by your own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from node_diag import Problem


class Dynamics(nn.Module):
    """f(t, z): what is integrated. An odefunc written for torchdiffeq works as it is."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(dim, width),
            nn.Tanh(),  # smooth, so that the solver keeps its order; ReLU has kinks
            nn.Linear(width, dim),
        )

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        """dz/dt, of the shape of z. t is a scalar tensor; this network does not use it."""
        return self.net(z)


def problem(batch: int = 4, dim: int = 2, width: int = 16, T: float = 1.0) -> Problem:
    """What to check. Every argument is an option: node-diag check FILE.py --set batch=8."""
    # Seeded before this is called (--seed), so that every run sees the same numbers.
    z0 = torch.randn(batch, dim)
    # The first time is the start; the states at the five others are observed.
    ts = torch.linspace(0.0, T, 6)
    target = torch.zeros(len(ts) - 1, batch, dim)

    def loss(zs: Tensor) -> Tensor:
        """zs: the states at ts[1:], of shape (5, batch, dim)."""
        # In the precision of the states, which --dtype chooses.
        return (zs - target.to(zs)).square().mean()

    return Problem(Dynamics(dim, width), z0, ts, loss)
