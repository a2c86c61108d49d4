"""One Runge–Kutta trial, in two forms: with a graph, and in place without one.

Both compute  k_i = f(t + c_i h, z + h Σ_j a_ij k_j),  z1 = z + h Σ_i b_i k_i  by the same products
in the same order, so that they agree to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from node_diag.solvers.tableau import Row, Tableau

FlatField = Callable[[Tensor, Tensor], Tensor]
Time = float | Tensor
CPU = torch.device("cpu")


def number(x: Time) -> float:
    """The value of a time or size, which may be a tensor with a graph."""
    return x.item() if isinstance(x, Tensor) else x


def combine(z: Tensor, ks: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Z + Σ w_i k_i for z (D,) and weights (n,); for z (B, D) the weights are (n, B) or (n, 1).

    Where the weights need no gradient autograd saves only them, which is what keeps the graph of
    a step with constant h small.
    """
    if z.ndim == 1:
        return torch.addmv(z, torch.stack(list(ks)).T, weights)
    return z + (weights.unsqueeze(-1) * torch.stack(list(ks))).sum(0)


@lru_cache
def _weights(
    tableau: Tableau, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, list[int]]:
    """Rows of a, then b, then e, in one vector; and their lengths."""
    rows = [*tableau.a[1:], tableau.b, *([] if tableau.e is None else [tableau.e])]
    flat = [entry for row in rows for entry in row]
    return torch.tensor(flat, dtype=dtype, device=device), [len(row) for row in rows]


@lru_cache
def _nodes(tableau: Tableau, device: torch.device) -> Tensor:
    return torch.tensor(tableau.c, dtype=torch.float64, device=device)


def like(x: Tensor, z: Tensor) -> Tensor:
    """X in z's precision, on its device: the host does not wait for the copy to get there."""
    return x.to(dtype=z.dtype, device=z.device, non_blocking=True)


def time_like(t: Time, z: Tensor) -> Tensor:
    """A time as f takes it."""
    if isinstance(t, Tensor):
        return like(t, z)
    return torch.full((), t, dtype=z.dtype, device=z.device)


@dataclass(frozen=True)
class Step:
    """A step about to be made: its stage times, and h a, h b, h e as rows of weights.

    t and h are plain numbers or float64 tensors, 0-d, or (B,) for B rows of z at once.
    """

    times: Sequence[Tensor]
    rows: Sequence[Tensor]

    @classmethod
    def make(cls, tableau: Tableau, t: Time, h: Time, z: Tensor) -> Step:
        """Scale the tableau by h and lay out the stage times t + c_i h, in z's dtype."""
        weights, lengths = _weights(tableau, z.dtype, z.device)
        given = [x for x in (t, h) if isinstance(x, Tensor)]
        nodes = _nodes(tableau, given[0].device if given else CPU)
        if any(x.ndim for x in given):
            nodes = nodes.unsqueeze(-1)
        if z.ndim > 1:
            weights = weights.unsqueeze(-1)
        scale = like(h, z) if isinstance(h, Tensor) else h
        times = like(nodes * h + t, z).unbind()
        return cls(times, (weights * scale).split(lengths))

    @property
    def b(self) -> Tensor:
        """H b."""
        return self.rows[len(self.times) - 1]

    @property
    def e(self) -> Tensor:
        """H e."""
        return self.rows[len(self.times)]


def stages(
    f: FlatField, step: Step, z: Tensor, *, k0: Tensor | None = None, count: int | None = None
) -> tuple[list[Tensor], Tensor]:
    """The first ``count`` stage derivatives, and the state the last one was taken at.

    ``k0`` is f at the start of the step if it is known.
    """
    ks: list[Tensor] = []
    z_stage = z
    for i, t in enumerate(step.times[:count]):
        if i:
            z_stage = combine(z, ks, step.rows[i - 1])
        ks.append(k0 if i == 0 and k0 is not None else f(t, z_stage))
    return ks, z_stage


def dense(tableau: Tableau, z: Tensor, h: Time, ks: Sequence[Tensor], theta: Time) -> Tensor:
    """Dense output z(t + θh); θ and h are plain numbers or tensors, 0-d or (B,)."""
    powers = [_horner(row, theta) * h for row in tableau.dense]
    if isinstance(theta, Tensor) or isinstance(h, Tensor):
        weights = torch.stack(
            [torch.as_tensor(p, dtype=torch.float64) * _one(theta, h) for p in powers]
        )
    else:
        weights = torch.tensor(powers, dtype=torch.float64)
    weights = like(weights, z)
    return combine(z, ks, weights.unsqueeze(-1) if z.ndim > weights.ndim else weights)


def dense_matrix(tableau: Tableau, thetas: NDArray[np.float64]) -> NDArray[np.float64]:
    """dense_i(θ) for many θ (n,) → (n, s)."""
    powers = thetas[:, None] ** np.arange(1, len(tableau.dense[0]) + 1)
    return powers @ np.array(tableau.dense).T


def _one(theta: Time, h: Time) -> Tensor:
    return torch.ones_like(torch.as_tensor(theta * h, dtype=torch.float64))


def _horner(row: Row, theta: Time) -> Time:
    value: Time = 0.0
    for coefficient in reversed(row):
        value = (value + coefficient) * theta
    return value


@dataclass
class Trial:
    """What one attempt at a step gave: new state, s stage derivatives, error estimate."""

    z1: Tensor
    ks: list[Tensor]
    error: Tensor | None


class GraphStepper:
    """Trials whose graph autograd keeps."""

    def __init__(self, tableau: Tableau, f: FlatField) -> None:
        self.tableau = tableau
        self.f = f

    def derivative(self, t: Time, z: Tensor) -> Tensor:
        """f(t, z)."""
        return self.f(time_like(t, z), z)

    def trial(self, t: Time, z: Tensor, h: Time, k0: Tensor) -> Trial:
        """One step of size h from (t, z), with its error estimate."""
        step = Step.make(self.tableau, t, h, z)
        ks, z_last = stages(self.f, step, z, k0=k0)
        z1 = z_last if self.tableau.fsal else combine(z, ks, step.b)
        error = None
        if self.tableau.adaptive:
            error = torch.mv(torch.stack(ks).T, step.e)
        return Trial(z1, ks, error)

    def interpolate(self, z: Tensor, h: Time, trial: Trial, theta: Time) -> Tensor:
        """Dense output z(t + θh) of an accepted trial."""
        return dense(self.tableau, z, h, trial.ks, theta)


class InPlaceStepper:
    """Trials without a graph: stage derivatives live in one buffer, each stage is one addmv.

    Times and sizes are plain numbers. Trial.ks are rows of that buffer; the next trial overwrites
    them.
    """

    def __init__(self, tableau: Tableau, f: FlatField, z0: Tensor) -> None:
        self.tableau = tableau
        self.f = f
        self._rows = list(
            torch.empty(tableau.stages, z0.numel(), dtype=z0.dtype, device=z0.device).unbind()
        )
        buffer = self._rows[0]._base
        assert buffer is not None  # unbind gives views
        self._leading = [buffer[:i].T for i in range(tableau.stages + 1)]
        self._weights, lengths = _weights(tableau, z0.dtype, z0.device)
        self._scaled = torch.empty_like(self._weights)
        self._scaled_rows = list(self._scaled.split(lengths))
        self._nodes = _nodes(tableau, CPU)[1:]  # f at the start of a step is known
        self._plain = z0.dtype == torch.float64 and z0.device.type == "cpu"

    def derivative(self, t: Time, z: Tensor) -> Tensor:
        """f(t, z)."""
        return self.f(time_like(t, z), z)

    def trial(self, t: Time, z: Tensor, h: Time, k0: Tensor) -> Trial:
        """One step of size h from (t, z), with its error estimate."""
        torch.mul(self._weights, h, out=self._scaled)
        times = torch.add(self._nodes * h, t)
        if not self._plain:
            times = like(times, z)
        rows, scaled, f = self._rows, self._scaled_rows, self.f
        if k0 is not rows[0]:
            rows[0].copy_(k0)
        z_stage = z
        for i, t_stage in enumerate(times.unbind(), 1):
            z_stage = torch.addmv(z, self._leading[i], scaled[i - 1])
            rows[i].copy_(f(t_stage, z_stage))
        last = self.tableau.stages - 1
        everything = self._leading[-1]
        z1 = z_stage if self.tableau.fsal else torch.addmv(z, everything, scaled[last])
        error = torch.mv(everything, scaled[last + 1]) if self.tableau.adaptive else None
        return Trial(z1, rows, error)

    def interpolate(self, z: Tensor, h: Time, trial: Trial, theta: Time) -> Tensor:
        """Dense output z(t + θh) of the last trial."""
        return dense(self.tableau, z, h, trial.ks, theta)
