"""How far the derivative of the accepted steps is from the exact one, and whom it explains.

A gradient g that is e away from the continuous truth c is so because the derivative d of the
accepted steps is, or because g is not d:  ‖g − c‖ ≤ ‖d − c‖ + ‖g − d‖. So one of the two is at
least e/2. The steps are to blame in the first case (ND203, ND204), the method in the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from node_diag.diagnosis.metrics import NOTICEABLE
from node_diag.diagnosis.reverse_time import outcome
from node_diag.diagnosis.rule import continuous, discrete, known, stored
from node_diag.records import MethodRecord, ReferenceRecord, Report

VAGUE = 20.0
"""Of a distance whose uncertainty is more than a 20th of it, no method is told apart."""


@dataclass(frozen=True)
class Steps:
    """The error that is in the accepted steps.

    Attributes:
        off: ‖d − c‖/‖c‖, or the absolute distance where c is zero within its uncertainty.
        bar: its uncertainty.
        witness: the method whose gradient stands for d where the discrete truth is missing or too
            vague to tell; empty if d is that truth.
    """

    off: float
    bar: float
    witness: str = ""

    def __str__(self) -> str:
        return known(self.off, self.bar)


def accepted_steps(report: Report) -> Steps | None:
    """None if neither truth nor method tells."""
    c, d = report.references.continuous, report.references.discrete
    if not isinstance(c, ReferenceRecord):
        return None
    distance, size = report.references.discretisation, c.norm
    if isinstance(d, ReferenceRecord) and (distance is not None or size == 0):
        off = d.norm if distance is None else distance * size
        bar = c.absolute_uncertainty + d.absolute_uncertainty
        unit = 1.0 if size <= c.absolute_uncertainty else size
        if bar <= max(off, NOTICEABLE * unit) / VAGUE:
            return Steps(off / unit, bar / unit)
    method = stored(report)
    error = method.errors.continuous if method and method.errors else None
    far = continuous(method) if method else None
    if method is None or error is None or far is None:
        return None
    return Steps(far, error.uncertainty or 0.0, method.name)


def explained(report: Report, steps: Steps | None) -> list[str]:
    """Methods that are off by more than 1 %, at least half of which the steps they took are."""
    return [m.name for m in report.methods if _explained(m, taken_by(m, steps))]


def taken_by(method: MethodRecord, steps: Steps | None) -> Steps | None:
    """The error in the steps of a library's own solve, where that is known; else in ``steps``."""
    own = method.own_steps
    if own is None or not method.discrete:
        return steps
    apart = own.distance
    return None if apart is None else Steps(apart.judged, apart.uncertainty or 0.0)


def _explained(method: MethodRecord, steps: Steps | None) -> bool:
    far = continuous(method)
    if steps is None or far is None or not far > NOTICEABLE or not steps.off >= far / 2:
        return False
    # A reverse-time state that followed the trajectory inherits the error of the trajectory.
    return method.discrete or outcome(method) in (None, "followed")


def elsewhere(method: MethodRecord, steps: Steps | None) -> bool:
    """Whether a method is off by more than 1 %, and at least half of that is not in the steps."""
    far, steps = continuous(method), taken_by(method, steps)
    return (
        far is not None
        and steps is not None
        and method.name != steps.witness
        and far > max(NOTICEABLE, 2 * steps.off)
    )


def by_step_sizes(report: Report, method: MethodRecord) -> bool:
    """Whether it differentiates step sizes, and no other is kept from the steps by the same."""
    terms, other = discrete(method), stored(report)
    missed = discrete(other) if other else None
    shared = terms is not None and missed is not None and missed > 0.1 * terms
    return method.discrete and not method.constant_steps and not shared
