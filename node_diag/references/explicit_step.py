"""One step of z by DOP853, its error, and what the error says of the next step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from node_diag.references.base import Vector
from node_diag.references.dop853 import E3, E5, STAGES, A, B, C
from node_diag.references.linearize import Linearized


@dataclass
class Step:
    """One step of z: stage times t + h C, stage states (s, D), f at the start and the end state.

    A step is affine in S, S1 = S + grow(S), and so are the two estimates of its error. The three
    maps are (D, D + P) arrays (M | C) standing for M S + (0 | C), filled in by who needs them.
    """

    t: float
    h: float
    z: Vector
    f: Vector
    points: Vector
    z1: Vector
    error: float
    maps: Vector | None = None


def state_step(system: Linearized, t: float, z: Vector, h: float, rtol: float) -> Step:
    """From (t, z) over h; the error is relative to the tolerance."""
    points, k = np.empty((STAGES, z.size)), np.empty((STAGES, z.size))
    weights, f = h * A, system.field
    with torch.no_grad():
        for i, time in enumerate(torch.from_numpy(t + h * C).unbind()):
            np.add(z, weights[i, :i] @ k[:i], out=points[i])
            k[i] = f(time, torch.from_numpy(points[i])).detach().numpy()
    z1 = z + h * (B @ k)
    error = error_of(z, z1, h * (E5 @ k), h * (E3 @ k), rtol, system.size)
    return Step(t, h, z, k[0], points, z1, error)


def error_of(
    y: Vector, y1: Vector, fifth: Vector, third: Vector, rtol: float, size: float | Vector
) -> float:
    """Hairer's combination of DOP853's order-5 and order-3 estimates, in the RMS norm."""
    scale = rtol / 100 * size + rtol * np.maximum(np.abs(y), np.abs(y1))
    five, three = float(np.sum((fifth / scale) ** 2)), float(np.sum((third / scale) ** 2))
    size_of_both = math.sqrt((five + 0.01 * three) * y.size)
    if size_of_both == 0:  # also where the squares underflow
        return 0.0
    error = five / size_of_both
    return error if math.isfinite(error) else math.inf


def factor(error: float) -> float:
    """How much longer the next step may be."""
    if not math.isfinite(error):
        return 0.2
    return 5.0 if error == 0 else min(5.0, max(0.2, 0.9 * error ** (-1 / 8)))


def tiny(system: Linearized) -> float:
    """A step so short that f may jump in it: what it gets wrong is 1e-14 of |f| times the span.

    That is how a dose, or any other switch by the time alone, is passed.
    """
    return 1e-14 * system.span
