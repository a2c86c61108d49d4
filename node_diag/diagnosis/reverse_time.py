"""What became of a reverse-time solve, in words that findings share."""

from __future__ import annotations

from typing import Literal

from node_diag.diagnosis.metrics import NOTICEABLE
from node_diag.records import MethodRecord, Report

EXPLODED = 10.0
"""Relative distance from the trajectory from which a reverse-time state is said to have exploded:
ten times the largest state."""
Outcome = Literal[
    "followed", "lost a component", "silently wrong", "exploded", "underflowed", "gave up"
]


def outcome(method: MethodRecord) -> Outcome | None:
    """How a reverse-time solve ended; None of a method that has none.

    ``silently wrong``: it reached t0 with finite numbers that belong to another trajectory.
    ``lost a component``: all that is large in the state is right.
    """
    path = method.reconstruction
    if method.status == "failed":
        if not method.reconstructs:
            return None
        reason = (method.failure or "").partition(":")[0]
        if reason == "step underflow":
            return "underflowed"
        return "exploded" if reason in ("non-finite", "exploded") else "gave up"
    if path is None or not path.measured:
        return None
    if path.departure is None:
        return "lost a component" if path.component_error > NOTICEABLE else "followed"
    return "exploded" if not path.max_error < EXPLODED else "silently wrong"


def departure(report: Report, method: MethodRecord) -> str:
    """Where z̄ left the trajectory, beside where the contraction of the flow says it should."""
    path = method.reconstruction
    stability = report.inspection.stability if report.inspection else None
    if path is None or path.departure is None:
        return ""
    text = f"z̄ is 1 % off at t = {path.departure:.4g}"
    if stability is None:
        return text
    if stability.predicted_departure is None:
        return f"{text}, which the contraction of the flow does not explain"
    growth = max(stability.log10_reverse_growth, default=0.0)
    return (
        f"{text} (predicted: {stability.predicted_departure:.4g}; the flow contracts at a rate of "
        f"{stability.contraction_rate:.2g}, so errors of a reverse solve grow 10^{growth:.0f}-fold)"
    )


def evidence(report: Report, method: MethodRecord) -> dict[str, float | str | None]:
    """The numbers behind :func:`departure`."""
    path = method.reconstruction
    stability = report.inspection.stability if report.inspection else None
    return {
        "outcome": outcome(method),
        "departure": path.departure if path else None,
        "predicted_departure": stability.predicted_departure if stability else None,
        "contraction_rate": stability.contraction_rate if stability else None,
        "log10_reverse_growth": max(stability.log10_reverse_growth, default=0.0)
        if stability
        else None,
    }
