"""Autograd's derivatives of f held against differences, at every point where a reference takes one.

A backward formula may be wrong in a small part of the state space only; what autograd says at a few
points of the trajectory is then right, and the reference wrong. So the Jacobians of a solve are
compared along one random line at each point, for two values of f. This is a screen: a kink nearby
or a noisy f catches its eye as well, and what it suspects is looked at more closely afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from node_diag.errors import ProblemError
from node_diag.references.base import Point, Vector

STEPS = (1e-5, 1e-7)
"""Relative to z and θ. What is suspected at the first is looked at again at the second: within a
hundredth of the step there are fewer kinks."""
BENT = 0.5
"""A second difference of this part of the disagreement or more explains it."""
SUSPICIOUS = 1e-4
"""Relative disagreement. Truncation is the square of the step over the length in which f bends."""
NOISE = 1e3 * float(np.finfo(np.float64).eps)
"""Of f, relative to its value."""
MOST = 16
"""Suspects that are handed on, spread over all there are."""

Values = Callable[[Vector, Vector, Mapping[str, Tensor]], Vector]
"""f (n, D) at n points ts (n,), zs (n, D), with parameters."""


@dataclass(frozen=True)
class _Claims:
    """What autograd says at n points.

    Attributes:
        ts, zs, lines: (n,), (n, D) and how z is moved (n, D).
        weights: a (n, D) of aᵀ f; None for every component of f by itself.
        slopes, sizes: derivatives along the lines, and the sum of their terms' sizes, (n, m).
    """

    ts: Vector
    zs: Vector
    lines: Vector
    weights: Vector | None
    slopes: Vector
    sizes: Vector

    def at(self, rows: NDArray[np.intp]) -> _Claims:
        """Those at some of the points."""
        weights = None if self.weights is None else self.weights[rows]
        parts = (self.ts, self.zs, self.lines, self.slopes, self.sizes)
        ts, zs, lines, slopes, sizes = (part[rows] for part in parts)
        return _Claims(ts, zs, lines, weights, slopes, sizes)


class Screen:
    """Collects the points at which autograd's derivative of f is in doubt.

    Args:
        values: f.
        params: θ, by name.
        size: by which entries of the state that are zero are moved.
    """

    def __init__(self, values: Values, params: Mapping[str, Tensor], size: float) -> None:
        self._values, self._params, self._size = values, params, size
        self._generator = np.random.default_rng(11)
        self._line = {name: self._through(p) for name, p in params.items()}
        self._found: list[Point] = []

    def suspects(self) -> list[Point]:
        """Some of the points that were found, the first and the last among them."""
        if not self._found:
            return []
        chosen = np.unique(np.linspace(0, len(self._found) - 1, MOST).astype(int))
        return [self._found[i] for i in chosen]

    def hold(self, ts: Vector, zs: Vector, dz: Vector, dp: Vector) -> None:
        """Compare ∂f/∂z (n, D, D) and ∂f/∂θ (n, D, P) at n points with values of f."""
        lines = self._lines(zs)
        flat = [line.numpy().ravel() for line in self._line.values()]
        line = np.concatenate(flat) if flat else np.zeros(0)
        slopes = np.einsum("nij,nj->ni", dz, lines) + dp @ line
        sizes = np.einsum("nij,nj->ni", np.abs(dz), np.abs(lines)) + np.abs(dp) @ np.abs(line)
        self._doubt(_Claims(ts, zs, lines, None, slopes, sizes), self._line)

    def hold_products(self, ts: Vector, zs: Vector, weights: Vector, dz: Vector) -> None:
        """Compare aᵀ ∂f/∂z (n, D) at n points, a: ``weights`` (n, D), with values of f."""
        lines = self._lines(zs)
        slopes, sizes = (dz * lines).sum(1), np.abs(dz * lines).sum(1)
        self._doubt(_Claims(ts, zs, lines, weights, slopes[:, None], sizes[:, None]), {})

    def hold_sum(self, ts: Vector, zs: Vector, weights: Vector, dp: Mapping[str, Tensor]) -> bool:
        """Compare Σ aᵀ ∂f/∂θ over n points, a: ``weights`` (n, D), with values of f.

        Returns:
            Whether fewer points should be looked at: one of these is in doubt, and there are not
            yet enough. A single one in doubt is noted.
        """
        terms = torch.cat([(dp[name] * line).flatten() for name, line in self._line.items()])
        slope, size = float(terms.sum()), float(torch.linalg.vector_norm(terms))
        still = _Claims(ts, zs, np.zeros_like(zs), weights, np.zeros(0), np.zeros(0))
        try:
            with np.errstate(all="ignore"):
                for step in STEPS:
                    up, down = (self._moved(still, self._line, sign * step) for sign in (1, -1))
                    seen = float((up - down).sum()) / (2 * step)
                    noise = NOISE * float((np.abs(up) + np.abs(down)).sum()) / step
                    gap = abs(seen - slope)
                    if not gap > SUSPICIOUS * max(size, abs(seen)) + noise:
                        return False
                    bend = float(((up + down) / 2 - self._moved(still, {}, 0.0)).sum())
                    if abs(bend) / step >= BENT * gap:
                        return False
        except ProblemError:
            return False
        if len(ts) > 1:
            return len(self._found) < MOST
        self._found.append((float(ts[0]), zs[0].copy()))
        return False

    def _doubt(self, claims: _Claims, line: Mapping[str, Tensor]) -> None:
        rows = np.arange(len(claims.ts))
        try:
            with np.errstate(all="ignore"):
                for step in STEPS:
                    if rows.size:
                        rows = rows[self._doubtful(claims.at(rows), line, step)]
        except ProblemError:  # f may not be defined beside the trajectory
            return
        self._found += [(float(claims.ts[i]), claims.zs[i].copy()) for i in rows]

    def _doubtful(
        self, claims: _Claims, line: Mapping[str, Tensor], step: float
    ) -> NDArray[np.intp]:
        """Rows where differences contradict the claims, and f is smooth between their ends."""
        up, down = (self._moved(claims, line, sign * step) for sign in (1, -1))
        seen, noise = (up - down) / (2 * step), NOISE * (np.abs(up) + np.abs(down)) / step
        if claims.weights is not None:
            seen, noise = seen.sum(1, keepdims=True), noise.sum(1, keepdims=True)
        gap = np.abs(seen - claims.slopes)
        # Where something is not finite: NaN compares as False.
        wrong = gap > SUSPICIOUS * np.maximum(claims.sizes, np.abs(seen)) + noise
        rows = np.flatnonzero(wrong.any(axis=1))
        if not rows.size:
            return rows
        # A kink or a jump between the ends bends f by as much as it changes the difference.
        bend = (up + down)[rows] / 2 - self._moved(claims.at(rows), line, 0.0)
        if claims.weights is not None:
            bend = bend.sum(1, keepdims=True)
        return rows[(wrong[rows] & (np.abs(bend) / step < BENT * gap[rows])).any(axis=1)]

    def _moved(self, claims: _Claims, line: Mapping[str, Tensor], step: float) -> Vector:
        params = {name: self._params[name] + step * v for name, v in line.items()}
        values = self._values(
            claims.ts, claims.zs + step * claims.lines, {**self._params, **params}
        )
        return values if claims.weights is None else claims.weights * values

    def _lines(self, zs: Vector) -> Vector:
        """A random line through every state, of its own size."""
        return self._generator.standard_normal(zs.shape) * np.maximum(np.abs(zs), self._size)

    def _through(self, p: Tensor) -> Tensor:
        """A random line through a parameter, of its own size."""
        reach = p.abs().clamp(min=(float(p.abs().mean()) if p.numel() else 0.0) or 1.0)
        return reach * torch.from_numpy(self._generator.standard_normal(tuple(p.shape)))
