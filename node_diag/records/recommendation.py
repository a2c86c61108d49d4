"""The settings that were tried for a target error, for report.json."""

from __future__ import annotations

from node_diag.records.base import Real, Record


class Candidate(Record):
    """A setting that was run: its gradient error against the continuous truth, and its cost."""

    solver: str
    rtol: float
    atol: float
    step_size: float | None = None
    control: str = "state"
    adjoint_rtol: float | None = None
    adjoint_atol: float | None = None
    """Where those of the reverse-time solve were varied."""
    error: Real | None = None
    """Relative L2 over z0 and all parameters."""
    uncertainty: Real | None = None
    nfe: int | None = None
    """Evaluations of f, forward and backward."""
    n_accepted: int | None = None
    met: bool = False
    """Whether error + uncertainty is within the target."""
    failure: str | None = None


class Recommendation(Record):
    """The cheapest of the settings that were tried and met the target."""

    target: Real
    method: str
    """Gradient method of all candidates: direct, or aca where its graph would be too large."""
    candidates: list[Candidate] = []
    best: int | None = None
    """Index of the cheapest one that met the target."""
    order: Real | None = None
    """p in error ∝ rtol^p (or step^p) of the solver that was checked."""
    reason: str = ""
    """Why there is no best one."""
