"""Where a backward pass has been: its adjoint state and the gradient it had summed up by then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Vector = NDArray[np.float64]
POINTS = 32
MOST_PARAMETERS = 100_000
"""More are not noted down: a sum of them at every point would be as much again as the states."""


@dataclass(frozen=True)
class TrailPoint:
    """At time t, with the observations from ``included`` on in it.

    Attributes:
        adj_z: a(t), (D,).
        params: ∂L/∂θ summed up from t1 down to t, (P,).
    """

    t: float
    included: int
    adj_z: Vector
    params: Vector


@dataclass
class Trail:
    """Notes a backward pass down about ``POINTS`` times, evenly spread from t1 to t0."""

    t0: float
    t1: float
    points: list[TrailPoint] = field(default_factory=list[TrailPoint])

    def note(self, t: float, included: int, adj_z: Tensor, params: Sequence[Tensor]) -> None:
        """Note (a, ∂L/∂θ) down at t if it is time to."""
        next_mark = self.t1 + (self.t0 - self.t1) * len(self.points) / POINTS
        if t != self.t0 and (t - next_mark) * (self.t1 - self.t0) > 0:
            return
        if sum(p.numel() for p in params) > MOST_PARAMETERS:
            return
        numbers = [p.detach().double().cpu().numpy().ravel() for p in (adj_z, *params)]
        flat = np.concatenate([numbers[0][:0], *numbers[1:]]).copy()
        self.points.append(TrailPoint(t, included, numbers[0].copy(), flat))
