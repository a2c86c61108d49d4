"""Linear growth or decay z′ = kz, L = z(T)²: everything has a closed form.

z(T) = z0 e^{kT}, dL/dz0 = 2 z0 e^{2kT}, dL/dk = 2T z0² e^{2kT}, dL/dt1 = 2k z0² e^{2kT} = −dL/dt0.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from node_diag import Problem


class Linear(nn.Module):
    """f(t, z) = k z for a state of any shape."""

    def __init__(self, k: float) -> None:
        super().__init__()
        self.k = nn.Parameter(torch.tensor(k, dtype=torch.float64))

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        """dz/dt."""
        return self.k * z


def closed_form(ts: Tensor, z0: Tensor, params: Mapping[str, Tensor]) -> Tensor:
    """z0 e^{k (t − t0)} at ts[1:], shape (K, *z0.shape)."""
    growth = torch.exp(params["k"] * (ts[1:] - ts[0]))
    return growth.reshape(-1, *(1 for _ in z0.shape)) * z0


def squared_norm(zs: Tensor) -> Tensor:
    """z(T)²."""
    return zs[-1].square().sum()


def problem(k: float = 0.5, T: float = 2.0, z0: float = 1.0) -> Problem:
    """z′ = kz on [0, T] from z0."""
    return Problem(
        Linear(k),
        torch.tensor([z0], dtype=torch.float64),
        (0.0, T),
        squared_norm,
        name="linear",
        exact=closed_form,
        description="z′ = kz,  L = z(T)²",
    )
