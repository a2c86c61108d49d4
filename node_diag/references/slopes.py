"""A gradient in many parameters, held against derivatives along a few directions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from node_diag.gradients.base import loss_vjp
from node_diag.norms import norm
from node_diag.problem import Problem
from node_diag.references.base import Vector, slices
from node_diag.references.frame import random_frame
from node_diag.references.linearize import Linearized
from node_diag.references.tangents import flow

MOST_EVALUATIONS = 2_000
"""Of the sensitivities along each direction."""
PROBABILITY = 0.95
RTOL = 1e-7
"""Of the reference: far below the errors that matter to training, far above what it costs to know
more."""


@dataclass(frozen=True)
class Comparison:
    """A gradient beside the true one; see :class:`Reading`."""

    error: float = math.nan
    low: float = math.nan
    high: float = math.nan
    cosine: float = math.nan
    cosine_low: float = math.nan
    cosine_high: float = math.nan
    norm_ratio: float = math.nan
    norm_ratio_low: float = math.nan
    norm_ratio_high: float = math.nan
    failure: str = ""


def held_against_slopes(
    problem: Problem, gradient: Vector, directions: int, seed: int
) -> Comparison:
    """Hold a gradient in the parameters against derivatives along a few directions.

    Args:
        problem: float64, on the CPU.
        gradient: (P,).
        directions: k.
        seed: of the random ones.

    Raises:
        NoReferenceError: the sensitivities do not stay finite, or take too long.
        ProblemError: f has no forward-mode derivative.
    """
    size = norm(gradient)
    if not math.isfinite(size):
        return Comparison(failure="the gradient is not finite")
    if size == 0:
        return _of_nothing(problem, gradient.size, directions, seed)
    lines = lines_along(gradient, directions, seed)
    return estimate(size, _slopes(problem, lines), gradient.size)


def _of_nothing(problem: Problem, n: int, directions: int, seed: int) -> Comparison:
    """A gradient of zeros: all is wrong, unless the true one is zero too."""
    slopes = _slopes(problem, random_frame(n, min(directions, n), seed))
    if not np.any(slopes):
        return Comparison(failure="the gradient is zero, and so is the true one as far as is seen")
    return Comparison(
        error=1.0, low=1.0, high=1.0, norm_ratio=0.0, norm_ratio_low=0.0, norm_ratio_high=0.0
    )


def lines_along(gradient: Vector, directions: int, seed: int) -> Vector:
    """The direction of the gradient, and random ones across it, orthonormal (k, P)."""
    own = gradient / norm(gradient)
    count = min(directions, gradient.size)
    frame, _ = np.linalg.qr(np.concatenate([own[None], random_frame(own.size, count, seed)]).T)
    lines = frame.T[:count]
    lines[0] = own  # up to the sign that QR gave it
    return lines


def estimate(size: float, slopes: Vector, n: int) -> Comparison:
    """What slopes along :func:`lines_along` say of a gradient of norm ``size`` in n dimensions.

    Along the gradient the true one has the part s, which is known. Of the square R² of what is
    across it, k − 1 random directions see a share that is distributed as
    Beta((k − 1)/2, (n − k)/2), whatever the gradients are: so R² is known with its interval, and
    with it whatever depends on R² alone.
    """
    k, along = len(slopes) - 1, float(slopes[0])
    seen = float(np.sum(slopes[1:] ** 2))
    likely, low, high = (seen * factor for factor in _factors(k, n - 1))
    if math.hypot(along, math.sqrt(likely)) == 0:
        return Comparison(failure="the true gradient is zero as far as is seen")

    def of(rest: float) -> tuple[float, float, float]:
        true = math.hypot(along, math.sqrt(rest)) or math.nan
        return math.hypot(size - along, math.sqrt(rest)) / true, along / true, size / true

    # Each of the three goes one way with R².
    best, ends = of(likely), list(zip(of(low), of(high), strict=True))
    (low_e, high_e), (low_c, high_c), (low_n, high_n) = (sorted(pair) for pair in ends)
    return Comparison(best[0], low_e, high_e, best[1], low_c, high_c, best[2], low_n, high_n)


def _factors(k: int, n: int) -> tuple[float, float, float]:
    """R² over what k of n directions see of it: unbiased, and the ends of its interval."""
    if k == n:
        return 1.0, 1.0, 1.0
    from scipy.special import betaincinv

    tail = (1 - PROBABILITY) / 2
    most, least = (float(betaincinv(k / 2, (n - k) / 2, q)) for q in (1 - tail, tail))
    return n / k, 1 / most, 1 / least


def _slopes(problem: Problem, lines: Vector) -> Vector:
    """Derivative of the loss along lines in the parameters (k, P), (k,)."""
    system = Linearized(problem)
    whole = np.concatenate([np.zeros((len(lines), problem.layout.numel)), lines], axis=1)
    states, tangents = flow(problem, system, whole, problem.ts, RTOL, MOST_EVALUATIONS)
    cotangents, direct = loss_vjp(problem, torch.from_numpy(states))
    found = np.einsum("kd,kmd->m", cotangents.numpy(), tangents)
    for name, extra in direct.items():
        part = slices(problem)[f"params.{name}"]
        own = slice(part.start - problem.layout.numel, part.stop - problem.layout.numel)
        found += lines[:, own] @ extra.numpy().ravel()
    return found
