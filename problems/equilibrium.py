"""Decay z′ = kz started at its equilibrium z0 = 0, L = z(T): the trap for discrete gradients.

The error estimate is exactly zero, so steps grow tenfold until T, and the derivative of the step
map is the stability polynomial at a huge kh: wrong at every tolerance. The truth is dL/dz0 = e^{kT}
and dL/dk = 0; the continuous adjoint, whose own error control sees a(t), gets it right.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from node_diag import Problem


class Decay(nn.Module):
    """f(t, z) = k z."""

    def __init__(self, k: float) -> None:
        super().__init__()
        self.k = nn.Parameter(torch.tensor(k, dtype=torch.float64))

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        """dz/dt."""
        return self.k * z


def closed_form(ts: Tensor, z0: Tensor, params: Mapping[str, Tensor]) -> Tensor:
    """z0 e^{k (t − t0)} at ts[1:], shape (K, 1)."""
    return torch.exp(params["k"] * (ts[1:] - ts[0]))[:, None] * z0


def last_state(zs: Tensor) -> Tensor:
    """z(T)."""
    return zs[-1].sum()


def problem(k: float = -1.0, T: float = 10.0, z0: float = 0.0) -> Problem:
    """z′ = kz on [0, T] from its equilibrium."""
    return Problem(
        Decay(k),
        torch.tensor([z0], dtype=torch.float64),
        (0.0, T),
        last_state,
        name="equilibrium",
        exact=closed_form,
        description="z′ = kz at z0 = 0,  L = z(T)",
    )
