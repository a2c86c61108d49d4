"""A comparison with a baseline in words, the same in every output."""

from __future__ import annotations

from node_diag.outputs.numbers import NOTHING, count, duration, uncertain
from node_diag.outputs.table import Table
from node_diag.records import Change, Comparison

_ORDER = ("missing", "worse", "inconclusive", "better", "new", "info")
"""What matters most comes first; what stayed the same is only counted."""


def sentence(comparison: Comparison) -> str:
    """How it came out: so many worse, better and the same."""
    words = [change.verdict for change in comparison.changes]
    parts = [f"{words.count(word)} {word}" for word in _ORDER[:-1] if word in words]
    parts.append(f"{words.count('same')} the same")
    when = f" ({comparison.created[:10]})" if comparison.created else ""
    return f"Against the baseline {comparison.baseline}{when}: {', '.join(parts)}."


def told(comparison: Comparison) -> list[Change]:
    """The changes worth a line, the worst first."""
    found = [change for change in comparison.changes if change.verdict in _ORDER]
    return sorted(found, key=lambda change: _ORDER.index(change.verdict))


def table(comparison: Comparison) -> Table:
    """The changes worth a line."""
    rows = [(change.verdict, claim(change)) for change in told(comparison)]
    return Table("What changed", ("verdict", "change"), rows, frozenset({0, 1}))


def name(change: Change) -> str:
    """What changed: ``aca.nfe_backward``."""
    return f"{change.method}.{change.metric}" if change.method else change.metric


def claim(change: Change) -> str:
    """The two numbers and why they were judged so."""
    old, new = (
        _shown(change.metric, value, bar)
        for value, bar in (
            (change.base, change.base_uncertainty),
            (change.new, change.new_uncertainty),
        )
    )
    numbers = f"{name(change)} {old} → {new}"
    return f"{numbers}: {change.reason}" if change.reason else numbers


def _shown(metric: str, value: float | str | None, bar: float | None) -> str:
    if value is None or isinstance(value, str):
        return value or NOTHING
    if metric.endswith("_s"):
        return duration(value)
    return uncertain(value, bar) if bar is not None or value % 1 else count(value)
