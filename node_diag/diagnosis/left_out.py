"""Tensors that a method gives no gradient though they have one."""

from __future__ import annotations

from node_diag.diagnosis.metrics import KNOWN, TIMES
from node_diag.records import MethodRecord, Report


def left_out(report: Report, method: MethodRecord) -> list[str]:
    """Names of tensors whose gradient by ``method`` is exactly zero, and the truth is not."""
    record = method.errors.continuous if method.errors else None
    if record is None or method.gradient is None:
        return []
    cut = {w.input for w in report.inspection.derivatives} if report.inspection else set[str]()
    given = method.gradient.tensors()
    return [
        name
        for name, part in record.by_parameter.items()
        if name not in TIMES
        and name not in cut
        and part.relative_l2 == 1.0
        and (part.uncertainty or 0.0) <= 2 * KNOWN
        and not any(given.get(name.removeprefix("params."), []))
    ]
