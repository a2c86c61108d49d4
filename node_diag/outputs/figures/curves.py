"""Trajectories as lists that can be drawn: components, finite values, few enough points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from node_diag.outputs.table import stride
from node_diag.records import Report, Trajectory

MOST_POINTS = 2000
"""Per curve; more than a figure can show, few enough for an SVG."""


def component(trajectory: Trajectory, i: int) -> list[float]:
    """One component over time; NaN where a state is shorter than it should be."""
    return [z[i] if i < len(z) else math.nan for z in trajectory.z]


def thin(values: Sequence[float], most: int = MOST_POINTS) -> list[float]:
    """Every k-th value and the last one: ``most + 1`` at the most."""
    k = stride(len(values), most)
    kept = list(values[::k])
    return kept if (len(values) - 1) % k == 0 else [*kept, values[-1]]


def finite(values: Iterable[float]) -> list[float]:
    """Values that can be drawn."""
    return [v for v in values if math.isfinite(v)]


def time_span(report: Report) -> tuple[float, float]:
    """t0 and t1, in the order of integration."""
    return report.problem.t0, report.problem.t1


def method_names(report: Report) -> list[str]:
    """Every method that any figure shows, in the order of the report."""
    return list(dict.fromkeys((*(m.name for m in report.methods), *report.series.reconstruction)))
