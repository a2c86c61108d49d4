"""The truths that gradients are held against."""

from __future__ import annotations

from typing import Any, Literal

from node_diag.records.base import Real, Record
from node_diag.records.gradients import ErrorRecord, GradientRecord


class ReferenceRecord(Record):
    """A reference gradient with its uncertainty."""

    kind: Literal["exact", "sensitivity", "finite-difference"]
    gradient: GradientRecord
    uncertainty: Real
    """Relative L2 over z0 and all parameters."""
    absolute_uncertainty: Real
    norm: Real
    """‖reference‖₂ over z0 and all parameters."""
    uncertainty_by_parameter: dict[str, Real]
    """Absolute L2 for z0, t0, t1 and every parameter tensor."""
    details: dict[str, Any] = {}


class MissingReference(Record):
    """Why there is no such reference."""

    kind: Literal["none"] = "none"
    reason: str
    details: dict[str, Any] = {}
    """What was found on the way: the growth of perturbations, say."""


Reference = ReferenceRecord | MissingReference


class References(Record):
    """The two truths, and what finite differences through the adaptive solver give instead."""

    continuous: Reference
    discrete: Reference
    unfrozen: Reference | None = None
    """Plain finite differences through the unfrozen adaptive solve. Not a truth."""
    discretisation: Real | None = None
    """‖discrete − continuous‖/‖continuous‖ over z0 and all parameters: the share of every error
    that a smaller tolerance removes."""
    distance: ErrorRecord | None = None
    """The same tensor by tensor: the discrete truth held against the continuous one."""
