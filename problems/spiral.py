"""Spiral: a small MLP field with a few thousand parameters and a batch of initial states.

The typical Neural ODE: dz/dt = W₃ tanh(W₂ tanh(W₁ z³ + b₁) + b₂) + b₃, fitted to a cubic spiral.
Weights are drawn from a fixed seed, small enough that the untrained field is smooth.
"""

import itertools

import torch
from torch import Tensor, nn

from node_diag import Problem


class SpiralField(nn.Module):
    """An MLP on z³, 2 → hidden → hidden → 2."""

    def __init__(self, hidden: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        sizes = [2, hidden, hidden, 2]
        self.layers = nn.ModuleList(
            nn.Linear(n_in, n_out, dtype=torch.float64) for n_in, n_out in itertools.pairwise(sizes)
        )
        with torch.no_grad():
            for p in self.parameters():
                fan_in = p.shape[-1]
                p.copy_(torch.randn(p.shape, generator=generator, dtype=p.dtype) / fan_in**0.5)

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        """dz/dt at z (batch, 2)."""
        hidden = z**3
        *inner, last = self.layers
        for layer in inner:
            hidden = torch.tanh(layer(hidden))
        return last(hidden)


def target(ts: Tensor, z0: Tensor) -> Tensor:
    """A linear spiral from z0: rotation by 2t with decay e^{−t/10}, shape (K, batch, 2)."""
    angle, decay = 2 * ts, torch.exp(-ts / 10)
    rotation = torch.stack(
        [
            torch.stack([angle.cos(), -angle.sin()], -1),
            torch.stack([angle.sin(), angle.cos()], -1),
        ],
        -2,
    )
    return decay[:, None, None] * torch.einsum("kij,bj->kbi", rotation, z0)


def problem(
    hidden: int = 50, batch: int = 8, T: float = 1.0, n_obs: int = 10, seed: int = 0
) -> Problem:
    """An untrained MLP field, a batch of initial states on a circle, n_obs observation times."""
    phase = torch.arange(batch, dtype=torch.float64) * (2 * torch.pi / batch)
    z0 = torch.stack([phase.cos(), phase.sin()], -1)
    ts = torch.linspace(0.0, T, n_obs + 1, dtype=torch.float64)
    wanted = target(ts[1:], z0)

    def mean_square_error(zs: Tensor) -> Tensor:
        return (zs - wanted.to(zs)).square().mean()

    return Problem(
        SpiralField(hidden, seed),
        z0,
        ts,
        mean_square_error,
        name="spiral",
        description="MLP field on z³, batch of states,  L = mean ‖z(τ) − spiral(τ)‖²",
    )
