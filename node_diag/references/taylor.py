"""Taylor remainder test: how the loss of the frozen map changes along a line, and what g says.

R(ε) = |J(x + εv) − J(x) − ε g·v| falls like ε² for the right g and like ε for a wrong one. Its
rates are shown, but nothing is judged by them: an exact gradient fails a minimum rate where ε is
outside the asymptotic range, and an error of 1e-4 passes it. What is judged is the odd part

    [J(x + εv) − J(x − εv)] / 2ε − g·v  =  a + b ε²

fitted over ε: |a| is the error of g·v itself, down to 1e-10 of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from node_diag.norms import norm
from node_diag.references.base import Vector
from node_diag.references.frozen_map import FrozenMap

STEPS: Vector = 1e-3 / np.exp2(np.arange(14, dtype=np.float64))
MOST_LOOPED = 20_000
"""Evaluations of an f that cannot be vmapped."""
FEWEST = 5
"""Steps that a fit is made of."""
FEW, NOISIER = 3, 4.0
"""Fits through the smallest steps; by how much round-off may be more than it was measured to be."""
FITS = 5.0
"""Residuals of a fit that holds are within so many standard deviations of the noise."""


@dataclass(frozen=True)
class TaylorLine:
    """The loss along one line, and its derivative there.

    Attributes:
        name: what the line is.
        direction: unit vector in (z0, θ), (n,).
        ups, downs: J(x ± εv) at ``STEPS``.
        loss: J(x).
        derivative: of J along the line, by the odd-part fit.
        bar: its uncertainty, relative to ``scale``.
        direct: what parameters that the loss uses itself add to g·v; J does not contain it.
        scale: what an error of g·v is measured by, the size g·v typically has on such a line.
    """

    name: str
    direction: Vector
    ups: Vector
    downs: Vector
    loss: float
    derivative: float
    bar: float
    direct: float
    scale: float

    def odd_part(self, gradient: Vector) -> float:
        """|a| for a gradient (n,), relative to the scale of the line."""
        return abs(self.derivative - self._slope(gradient)) / self.scale

    def remainders(self, gradient: Vector) -> Vector:
        """R(ε) at ``STEPS``."""
        return np.abs(self.ups - self.loss - STEPS * self._slope(gradient))

    def _slope(self, gradient: Vector) -> float:
        with np.errstate(invalid="ignore"):  # of a gradient that is infinite
            return float(gradient @ self.direction) - self.direct


def taylor_lines(frozen: FrozenMap, gradient: Vector, sigma: float) -> list[TaylorLine]:
    """Along the gradient, where an error in its size shows best, and along a random line.

    Args:
        frozen: the map J.
        gradient: of J in (z0, θ), (n,), without what the loss adds by itself.
        sigma: standard deviation of the noise of J.
    """
    size = norm(gradient)
    slow = not frozen.batched and 4 * len(STEPS) * frozen.evaluations > MOST_LOOPED
    if not np.isfinite(size) or size == 0 or slow:
        return []
    random = np.random.default_rng(2).standard_normal(gradient.size)
    lines = {"the gradient": gradient / size, "a random line": random / norm(random)}
    typical = {"the gradient": size, "a random line": size / np.sqrt(gradient.size)}
    offsets = np.concatenate([STEPS, -STEPS])[:, None]
    moves = np.concatenate([offsets * direction for direction in lines.values()])
    rows = torch.from_numpy(frozen.base).repeat(len(moves), 1)
    rows[:, : gradient.size] += torch.from_numpy(moves)
    values = frozen.losses(rows, frozen.dynamic, len(rows)).reshape(len(lines), 2, -1)
    found: list[TaylorLine] = []
    for (name, direction), (ups, downs) in zip(lines.items(), values, strict=True):
        derivative, bar = odd_part_fit(ups, downs, sigma)
        scale = typical[name]
        found.append(
            TaylorLine(
                name=name,
                direction=direction,
                ups=ups,
                downs=downs,
                loss=frozen.loss,
                derivative=derivative,
                bar=bar / scale,
                direct=float(frozen.direct[: direction.size] @ direction),
                scale=scale,
            )
        )
    return found


def odd_part_fit(ups: Vector, downs: Vector, sigma: float) -> tuple[float, float]:
    """Derivative at ε = 0 and its bar from [J(ε) − J(−ε)] / 2ε = a + b ε², weighted by the noise.

    Large steps are dropped until the rest follows the model to within the noise. The bar is five
    standard deviations of the fit, and twice what dropping the largest step again would change.
    """
    values, spread = (ups - downs) / (2 * STEPS), sigma / (np.sqrt(2) * STEPS)
    fits = [_fit(values[i:], spread[i:], STEPS[i:]) for i in range(len(STEPS) - FEWEST + 1)]
    good = [i for i, fit in enumerate(fits) if fit.residual <= FITS and np.isfinite(fit.value)]
    if not good:
        return _noisier(fits[-FEW:])
    best, again = fits[good[0]], fits[min(good[0] + 1, len(fits) - 1)]
    return best.value, 5 * best.deviation + 2 * abs(again.value - best.value)


def _noisier(fits: list[_Fit]) -> tuple[float, float]:
    """As :func:`odd_part_fit`, where the noise is larger than it was measured to be.

    Round-off is measured at a few points beside the base, and may be less there than along a line.
    What is left of fits through the smallest steps, where nothing but noise is, shows its size: the
    largest of some residuals is two standard deviations or more.
    """
    sized = [(max(1.0, fit.residual / 2) * fit.deviation, fit) for fit in fits]
    held = [(own, fit) for own, fit in sized if fit.residual <= NOISIER * FITS]
    if not held:
        return fits[-1].value, float("inf")
    own, best = min(held, key=lambda pair: pair[0])
    return best.value, 5 * own + 2 * max(abs(fit.value - best.value) for fit in fits)


@dataclass(frozen=True)
class _Fit:
    """Value at ε = 0, its standard deviation, and the largest residual in standard deviations."""

    value: float
    deviation: float
    residual: float


def _fit(values: Vector, spread: Vector, steps: Vector) -> _Fit:
    if not np.isfinite(values).all():
        return _Fit(float("nan"), float("inf"), float("inf"))
    design = np.stack([1 / spread, steps**2 / spread], axis=1)
    scales = np.linalg.norm(design, axis=0)
    scaled = design / scales
    inverse = np.linalg.inv(scaled.T @ scaled)
    solution = inverse @ (scaled.T @ (values / spread))
    residual = float(np.max(np.abs(scaled @ solution - values / spread)))
    return _Fit(float(solution[0] / scales[0]), float(np.sqrt(inverse[0, 0]) / scales[0]), residual)
