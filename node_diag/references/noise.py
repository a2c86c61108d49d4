"""Round-off of a computed function, measured.

Moré and Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33 (2011): the k-th
differences of a smooth function vanish as the spacing shrinks, those of noise do not.
"""

from __future__ import annotations

import math

import numpy as np

from node_diag.references.base import Vector

POINTS = 7
"""Values along one line."""
LINES = 3
"""Lines, each in another random direction; the largest estimate counts."""
SPACINGS = (1e-9, 1e-11, 1e-13)
"""Between neighbouring points, relative to the scale of each input; the finer ones are for
functions that are not smooth over the coarser ones, which is how chaotic dynamics look."""
COUNT = LINES * POINTS * len(SPACINGS)
"""Evaluations it takes."""
SCATTER = 10.0
"""Two estimates of the same noise differ by less."""
EPS = float(np.finfo(np.float64).eps)


def probes(base: Vector, scale: Vector) -> Vector:
    """Inputs to evaluate the function at for :func:`noise`, (COUNT, n)."""
    generator = np.random.default_rng(0)
    signs = generator.choice([-1.0, 1.0], size=(LINES, 1, 1, base.size))
    spacings = np.asarray(SPACINGS)[:, None, None]
    offsets = spacings * np.arange(-(POINTS // 2), POINTS // 2 + 1)[:, None]
    return (base + offsets * signs * scale).reshape(-1, base.size)


def noise(values: Vector, size: float) -> float:
    """Standard deviation of the round-off in a function, from its values at :func:`probes`.

    Never below half an ulp of ``size``, the function's value.
    """
    largest = float(np.max(np.abs(values))) or 1.0  # so that squares are floating-point numbers
    lines = values.reshape(LINES, len(SPACINGS), POINTS) / largest
    return max(EPS * abs(size), *(largest * _along_line(line) for line in lines))


def _along_line(tables: Vector) -> float:
    """The estimate of the coarsest spacing, unless a finer one is smaller by far.

    Noise is the same at every spacing, up to the scatter of an estimate from seven values; what
    grows with it is the function, and adds to the estimate. A spacing at which most values are
    equal shows neither.
    """
    found = [along(table) for table in tables if len(np.unique(table)) > POINTS // 2]
    best = found[0] if found else 0.0
    for finer in found[1:]:
        best = finer if SCATTER * finer < best else best
    return best


def along(table: Vector) -> float:
    """Standard deviation of the round-off in values at neighbouring points of one line."""
    sizes: list[float] = []
    for k in range(1, POINTS):
        table = np.diff(table)
        gamma = math.factorial(k) ** 2 / math.factorial(2 * k)
        sizes.append(math.sqrt(gamma * float(np.mean(table**2))))
    for k in range(len(sizes) - 2):
        window = sizes[k : k + 3]
        if max(window) <= 4 * min(window):
            return sizes[k]
    return sizes[-1]
