"""What the plots are drawn from, for report.json."""

from __future__ import annotations

from node_diag.records.base import Real, Record


class Trajectory(Record):
    """Flat states along a solve: z[i] belongs to t[i]; at most the first few components."""

    t: list[Real]
    z: list[list[Real]]
    error: list[Real] = []
    """Relative distance from the forward trajectory at the same times, over all components."""


class Steps(Record):
    """Every trial of the forward solve: where it started, its size, whether it was accepted."""

    t: list[float]
    h: list[float]
    accepted: list[bool]


class Series(Record):
    """What the plots are drawn from."""

    components: list[str]
    forward: Trajectory
    reconstruction: dict[str, Trajectory] = {}
    steps: Steps
