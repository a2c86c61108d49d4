"""Taylor tests and a V-curve of the stock report: computed, so that the record agrees."""

from __future__ import annotations

import itertools
import math
from typing import Any

from node_diag.records import GradientRecord, TaylorTest
from tests.stub_gradients import DISCRETE, difference, vector
from tests.stub_series import norm

STEPS = [1e-3 / 2**k for k in range(14)]
CURVATURE = 35.0
"""d²J/dε² along both lines; the third derivative is left out."""


def taylor(ours: GradientRecord) -> list[TaylorTest]:
    """J(ε) = J + d ε + c ε² with d of the discrete truth, along it and along (1, −1, 1)/√3."""
    truth = vector(DISCRETE)
    lines = {
        "the gradient": [x / norm(truth) for x in truth],
        "a random line": [x / math.sqrt(3) for x in (1, -1, 1)],
    }
    return [_test(name, line, ours, truth) for name, line in lines.items()]


def _test(name: str, line: list[float], ours: GradientRecord, truth: list[float]) -> TaylorTest:
    slip = sum(v * x for v, x in zip(line, difference(vector(ours), truth), strict=True))
    remainders = [abs(CURVATURE * e**2 - slip * e) for e in STEPS]
    pairs = itertools.pairwise(remainders)
    return TaylorTest(
        line=name,
        odd_part=abs(slip) / norm(truth),
        uncertainty=2e-11,
        steps=STEPS,
        remainders=remainders,
        rates=[math.log2(a / b) if a and b else None for a, b in pairs],
    )


def v_curve() -> dict[str, Any]:
    """h² truncation, extrapolated to h⁴, and a round-off of 1e-15 over h."""
    steps = [3.1e-5 / 3.7**k for k in range(-5, 13)]
    round_off = [1e-15 / h for h in steps]
    return {
        "line": "z0[1]",
        "steps": steps,
        "plain": [3 * h**2 + noise for h, noise in zip(steps, round_off, strict=True)],
        "extrapolated": [
            None,
            *(9 * h**4 + n for h, n in zip(steps[1:], round_off[1:], strict=True)),
        ],
        "round_off": round_off,
        "chosen": steps[6],
        "bar": 5.4e-10,
    }
