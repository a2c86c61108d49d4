"""Errors that come of computing in fewer digits than the state has."""

from __future__ import annotations

from node_diag.diagnosis.rule import continuous
from node_diag.records import MethodRecord, Report

EPS = {"float32": 1.2e-7, "float16": 9.8e-4, "bfloat16": 7.8e-3}
"""Relative distance of neighbouring numbers."""
HALF = 0.5
"""Part of an error that has to go with autocast for that to be its cause."""


def narrow_type(report: Report) -> str | None:
    """In which f of a float32 state computes; None if it does not."""
    narrow = report.inspection.repeatability.narrow_type if report.inspection else None
    return narrow if narrow in EPS else None


def by_autocast(method: MethodRecord) -> bool:
    """Whether most of its error is gone when the same call is made without autocast."""
    error, ran = continuous(method), method.autocast
    if error is None or ran is None or ran.without is None:
        return False
    return ran.without < HALF * error
