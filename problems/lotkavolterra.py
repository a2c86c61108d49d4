"""Lotka–Volterra predator and prey, x′ = αx − βxy, y′ = −γy + δxy, fitted at 20 observation times.

A conservative cycle: neither forward nor reverse flow contracts, so all methods should do well.
"""

import torch
from torch import Tensor, nn

from node_diag import Problem


class LotkaVolterra(nn.Module):
    """z = (prey, predators); four rates as separate parameters."""

    def __init__(self, alpha: float, beta: float, gamma: float, delta: float) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(alpha, dtype=torch.float64))
        self.beta = nn.Parameter(torch.tensor(beta, dtype=torch.float64))
        self.gamma = nn.Parameter(torch.tensor(gamma, dtype=torch.float64))
        self.delta = nn.Parameter(torch.tensor(delta, dtype=torch.float64))

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        """dz/dt at z (…, 2)."""
        x, y = z.unbind(-1)
        xy = x * y
        return torch.stack((self.alpha * x - self.beta * xy, self.delta * xy - self.gamma * y), -1)


def mean_square_distance(zs: Tensor) -> Tensor:
    """Mean squared distance of the observed states from (2, 1)."""
    return (zs - zs.new_tensor([2.0, 1.0])).square().mean()


def problem(
    alpha: float = 1.5,
    beta: float = 1.0,
    gamma: float = 3.0,
    delta: float = 1.0,
    T: float = 10.0,
    n_obs: int = 20,
) -> Problem:
    """Predator and prey on [0, T] from (1, 1), observed n_obs times."""
    return Problem(
        LotkaVolterra(alpha, beta, gamma, delta),
        torch.tensor([1.0, 1.0], dtype=torch.float64),
        torch.linspace(0.0, T, n_obs + 1, dtype=torch.float64),
        mean_square_distance,
        name="lotkavolterra",
        description="x′ = αx − βxy,  y′ = −γy + δxy,  L = mean ‖z(τ) − (2, 1)‖²",
    )
