"""The V-curve of one line: how good a difference is against its step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from node_diag.references import ladder
from node_diag.references.base import Vector

LEVELS = range(-5, 13)
"""From too coarse to too fine."""


def v_curve(
    quotients: Callable[[Vector], Vector],
    value: float,
    bar: float,
    chosen: int,
    sigma: float,
    line: str,
) -> dict[str, Any]:
    """Distance of plain and extrapolated differences from the value that was chosen.

    Left of the minimum round-off dominates, right of it truncation; the step that was chosen has to
    lie in between.

    Args:
        quotients: central differences at relative steps.
        value: of the line.
        bar: its uncertainty.
        chosen: the coarser level of the pair of steps it came from.
        sigma: noise of the loss over the scale of the line.
        line: what it is called.

    Returns:
        ``line``, ``steps``, ``plain`` and ``extrapolated`` distances (null where not finite),
        ``round_off`` as σ predicts it, ``chosen`` step and ``bar``, all absolute.
    """
    steps = np.array([ladder.step(level) for level in LEVELS])
    plain = quotients(steps)
    factor = ladder.RATIO**2
    better = (factor * plain[1:] - plain[:-1]) / (factor - 1)
    return {
        "line": line,
        "steps": steps.tolist(),
        "plain": _distances(plain, value),
        "extrapolated": [None, *_distances(better, value)],
        "round_off": (sigma / (np.sqrt(2) * steps)).tolist(),
        "chosen": ladder.step(chosen + 1),
        "bar": bar,
    }


def _distances(found: Vector, value: float) -> list[float | None]:
    return [float(x) if np.isfinite(x) else None for x in np.abs(found - value)]
