"""Two checks held against each other, for report.json."""

from __future__ import annotations

from typing import Literal

from node_diag.records.base import Real, Record


class Change(Record):
    """One number of the baseline beside the same number now."""

    method: str | None
    """Null: it belongs to the solve, or to the whole problem."""
    metric: str
    base: Real | str | None
    base_uncertainty: Real | None = None
    new: Real | str | None
    new_uncertainty: Real | None = None
    verdict: Literal["same", "better", "worse", "inconclusive", "missing", "new", "info"]
    fails: bool
    reason: str
    """One sentence: what changed, and by which rule it was judged."""


class Comparison(Record):
    """A check held against an earlier one, its baseline."""

    baseline: str
    """The file or folder, as it was named."""
    created: str | None
    """When the baseline was made; null if it has no such problem."""
    changes: list[Change]
    notes: list[str] = []
    """What differs between the two runs and is no result: versions, ignored options."""
    failed: int
    """Changes that fail the comparison, those that could not be decided included."""
