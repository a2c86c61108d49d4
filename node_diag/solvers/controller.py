"""How long a step may be: error norms, the step-size controller, the starting step.

Numbers may be floats or 0-d tensors. With tensors the functions stay differentiable, as the naive
method needs; where a rule saturates (largest growth, zero error) its derivative is exactly zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from node_diag.solvers.runge_kutta import Time, number

Norm = Callable[[Tensor], Tensor]


def rms(x: Tensor) -> Tensor:
    """Root mean square, the norm of Hairer, Nørsett and Wanner, II.4."""
    return torch.linalg.vector_norm(x) / math.sqrt(max(x.numel(), 1))


def largest_rms(sizes: Sequence[int]) -> Norm:
    """The largest RMS among consecutive blocks, so that a long block cannot drown a short one."""
    blocks = [size for size in sizes if size]

    def norm(x: Tensor) -> Tensor:
        return torch.stack([rms(block) for block in x.split(blocks)]).amax()

    return norm


@dataclass(frozen=True)
class Tolerance:
    """Mixed tolerance  rtol max(|z|, |z1|) + atol  and the norm errors are measured in."""

    rtol: float
    atol: float
    norm: Norm = rms

    def ratio(self, error: Tensor, z: Tensor, z1: Tensor) -> Tensor:
        """Norm of the error over the tolerance; a step is accepted at 1 or less."""
        scale = torch.maximum(z.abs(), z1.abs()).mul_(self.rtol).add_(self.atol)
        return self.norm(error / scale)

    def size(self, x: Tensor, z: Tensor) -> Tensor:
        """Norm of x in units of the tolerance at z."""
        return self.norm(x / z.abs().mul_(self.rtol).add_(self.atol))


@dataclass(frozen=True)
class Controller:
    """The elementary controller  h ← h · min(10, max(0.2, 0.9 ratio^(−1/q)))."""

    exponent: int
    safety: float = 0.9
    smallest: float = 0.2
    largest: float = 10.0

    def factor(self, ratio: Time, *, ceiling: float | None = None) -> Time:
        """What to multiply h by; NaN or infinite ratios shrink the step."""
        ceiling = self.largest if ceiling is None else ceiling
        value = number(ratio)
        if value == 0.0:
            return ceiling
        if not math.isfinite(value):
            return self.smallest
        factor = self.safety * value ** (-1 / self.exponent)
        if factor >= ceiling:
            return ceiling
        if factor <= self.smallest:
            return self.smallest
        return self.safety * ratio ** (-1 / self.exponent)


def starting_step(
    f: Callable[[Time, Tensor], Tensor],
    t0: Time,
    z0: Tensor,
    f0: Tensor,
    span: float,
    *,
    tolerance: Tolerance,
    exponent: int,
) -> Tensor:
    """A first step |h| that makes the local error about the tolerance, for one more evaluation.

    Hairer, Nørsett and Wanner, Solving ODEs I, II.4; ``span`` is t1 − t0 with its sign.
    """
    direction = math.copysign(1.0, span)
    d0, d1 = tolerance.size(z0, z0), tolerance.size(f0, z0)
    tiny = number(d0) < 1e-5 or number(d1) < 1e-5
    h0 = z0.new_tensor(1e-6) if tiny else 0.01 * d0 / d1
    if number(h0) > abs(span):
        h0 = z0.new_tensor(abs(span))
    z1 = z0 + direction * h0 * f0
    f1 = f(t0 + direction * h0.to(dtype=torch.float64, device="cpu"), z1)
    d2 = tolerance.size(f1 - f0, z0) / h0
    steepest = d1 if number(d1) >= number(d2) else d2
    if number(steepest) <= 1e-15:
        h1 = torch.clamp(h0 * 1e-3, min=1e-6)
    else:
        h1 = (0.01 / steepest) ** (1 / exponent)
    h = h1 if number(h1) <= 100 * number(h0) else 100 * h0
    return h if math.isfinite(number(h)) else h0
