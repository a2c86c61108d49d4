"""Van der Pol oscillator x″ = μ(1 − x²)x′ − x, L = ‖z(T)‖²: where a reverse-time adjoint explodes.

The limit cycle attracts, so the forward flow contracts and the reverse flow expands by the same
factor; at μ = 2, T = 20 that turns round-off into millions.
"""

import torch
from torch import Tensor, nn

from node_diag import Problem


class VanDerPol(nn.Module):
    """z = (x, x′), parameter μ."""

    def __init__(self, mu: float) -> None:
        super().__init__()
        self.mu = nn.Parameter(torch.tensor(mu, dtype=torch.float64))

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        """dz/dt at z (…, 2)."""
        x, v = z.unbind(-1)
        return torch.stack((v, self.mu * (1 - x * x) * v - x), dim=-1)


def squared_norm(zs: Tensor) -> Tensor:
    """‖z(T)‖² of the last observed state."""
    return zs[-1].square().sum()


def problem(mu: float = 2.0, T: float = 20.0, x0: float = 2.0, v0: float = 0.0) -> Problem:
    """Van der Pol with damping μ on [0, T] from (x0, v0)."""
    return Problem(
        VanDerPol(mu),
        torch.tensor([x0, v0], dtype=torch.float64),
        (0.0, T),
        squared_norm,
        name="vanderpol",
        description="x″ = μ(1 − x²)x′ − x,  L = x(T)² + x′(T)²",
    )
