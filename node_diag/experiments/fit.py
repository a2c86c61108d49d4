"""Exponents from measurements: straight lines through logarithms, with their confidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Exponent:
    """y ∝ x^value, with the half width of its 95 % confidence interval."""

    value: float
    half_width: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ± {self.half_width:.2f}"

    def holds(self, claimed: float, tolerance: float = 0.1) -> bool:
        """Whether a claimed exponent is in the interval, or nearer than anyone could care about.

        Counts have no noise, so that an interval may be narrower than what lower-order terms add.
        """
        return abs(self.value - claimed) <= max(self.half_width, tolerance)


def exponent(x: Sequence[float], y: Sequence[float]) -> Exponent:
    """Fitted by least squares to the logarithms of three or more positive pairs."""
    from scipy.stats import linregress, t

    if len(x) < 3:
        raise ValueError("an exponent and its confidence take three points")
    if len(set(y)) == 1:  # a constant has no residuals to divide by
        return Exponent(0.0, 0.0)
    line: Any = linregress([math.log(a) for a in x], [math.log(b) for b in y])
    quantile = float(t.ppf((1 + CONFIDENCE) / 2, len(x) - 2))
    return Exponent(float(line.slope), quantile * float(line.stderr))
