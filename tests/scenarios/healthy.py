"""Twenty varied problems with nothing wrong with them, at the default tolerance."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from node_diag import Problem
from tests.scenarios.cases import Net, plain, tensor

Made = Callable[[], Problem]


def rotation(rows: int) -> Made:
    z0 = torch.linspace(-1, 1, 2 * rows, dtype=torch.float64).reshape(rows, 2)
    return plain(lambda t, z: torch.stack([z[:, 1], -z[:, 0]], 1), z0, (0.0, 2.0))


def mlp(
    activation: nn.Module, shape: tuple[int, ...] = (2,), ts: tuple[float, ...] = (0.0, 1.0)
) -> Made:
    def make() -> Problem:
        generator = torch.Generator().manual_seed(1)
        z0 = torch.randn(shape, generator=generator, dtype=torch.float64)
        return Problem(
            Net(activation, seed=3), z0, ts, lambda zs: zs.square().mean(), name="healthy"
        )

    return make


def pendulum(t: Tensor, z: Tensor) -> Tensor:
    return torch.stack([z[1], -torch.sin(z[0]) - 0.1 * z[1]])


def brusselator(t: Tensor, z: Tensor) -> Tensor:
    x, y = z
    return torch.stack([1 + x * x * y - 4 * x, 3 * x - x * x * y])


def coupled(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    x, v = state
    return v, -x - 0.1 * v


def heat(t: Tensor, z: Tensor) -> Tensor:
    return 20.0 * (torch.roll(z, 1) - 2 * z + torch.roll(z, -1))


def grown(rate: float) -> Made:
    r = tensor(rate)
    return plain(
        lambda t, z: r * z * (1 - z / 10), tensor(0.5), (0.0, 3.0), params={"r": r},
    )  # fmt: skip


def driven(t: Tensor, z: Tensor) -> Tensor:
    return -z + torch.sin(5 * t)


HEALTHY: dict[str, Made] = {
    "rotation, one row": rotation(1),
    "rotation, five rows": rotation(5),
    "pendulum": plain(pendulum, tensor(1.0, 0.0), (0.0, 5.0)),
    "pendulum backward in time": plain(pendulum, tensor(1.0, 0.0), (2.0, 0.0)),
    "pendulum, many observations": plain(
        pendulum, tensor(1.0, 0.0), tuple(i / 10 for i in range(31)), lambda zs: zs.square().mean()
    ),
    "brusselator": plain(brusselator, tensor(1.0, 2.0), (0.0, 3.0)),
    "heat on a ring": plain(
        heat, torch.sin(torch.arange(8.0, dtype=torch.float64)), (0.0, 0.1)
    ),
    "tuple state": plain(
        coupled,
        (tensor(1.0, 0.5), tensor(0.0, 1.0)),
        (0.0, 2.0),
        lambda zs: zs[0][-1].square().sum() + zs[1][-1].sum(),
    ),
    "logistic": grown(1.0),
    "logistic, decaying": grown(-1.0),
    "driven": plain(driven, tensor(1.0), (0.0, 4.0)),
    "tanh network": mlp(nn.Tanh()),
    "softplus network, batch": mlp(nn.Softplus(), (6, 2)),
    "sigmoid network, five times": mlp(nn.Sigmoid(), (3, 2), (0.0, 0.25, 0.5, 0.75, 1.0)),
    "relu network": mlp(nn.ReLU(), (4, 2)),
    "gelu network, images": mlp(nn.GELU(), (2, 3, 2)),
    "a scalar": plain(lambda t, z: -z, torch.tensor(1.5, dtype=torch.float64), (0.0, 1.0)),
    "growth": plain(lambda t, z: 2 * z, tensor(1e-3), (0.0, 3.0)),
    "large numbers": plain(lambda t, z: -z, tensor(1e6, 3e6), (0.0, 1.0)),
    "late start": plain(
        lambda t, z: -z * torch.cos(t), tensor(1.0), (100.0, 100.0 + math.pi / 2)
    ),
}  # fmt: skip
