"""What a sweep found, as it is written to sweep.json."""

from __future__ import annotations

import math
from typing import Any, Literal

from node_diag.records.base import Record


class SweepPoint(Record):
    """One method at one setting.

    Attributes:
        at: the value on every axis.
        error, uncertainty: relative, over z0 and all parameters, against the continuous truth.
        no_truth: why there is none.
        forward_s, backward_s: medians of runs with nothing else running, if times were taken.
    """

    at: dict[str, Any]
    method: str
    status: Literal["ok", "failed"]
    failure: str | None = None
    error: float | None = None
    uncertainty: float | None = None
    no_truth: str | None = None
    loss: float | None = None
    nfe_forward: int | None = None
    nfe_backward: int | None = None
    n_accepted: int | None = None
    n_rejected: int | None = None
    saved_bytes: int | None = None
    graph_depth: int | None = None
    forward_s: float | None = None
    backward_s: float | None = None
    repeats: int | None = None
    spread_s: float | None = None

    @property
    def nfe(self) -> int | None:
        """Evaluations of f in both passes."""
        if self.nfe_forward is None or self.nfe_backward is None:
            return None
        return self.nfe_forward + self.nfe_backward

    @property
    def seconds(self) -> float | None:
        """Of both passes."""
        if self.forward_s is None or self.backward_s is None:
            return None
        return self.forward_s + self.backward_s

    @property
    def drawn(self) -> float | None:
        """The error on a logarithmic axis: of none at all, how large it may be; else None."""
        if self.error is None or not 0 <= self.error < math.inf:
            return None
        return self.error or self.uncertainty or None

    @property
    def worst(self) -> float | None:
        """The error it may have: with its uncertainty; None if nothing is known of it."""
        if self.error is None or self.uncertainty is None:
            return None
        return self.error + self.uncertainty


class Choice(Record):
    """What there is to choose from on one problem.

    Attributes:
        at: the value on every axis along which it is another problem.
        cheapest: number of the point that meets the target with the fewest evaluations of f.
        front: numbers of the points that no other beats in both error and evaluations.
    """

    at: dict[str, Any]
    cheapest: int | None
    front: list[int]


class Sweep(Record):
    """A whole sweep.

    Attributes:
        spec, overrides, options: PROBLEM and what all points share.
        axes: name → values.
        varied_options: those of the axes that are options; the others are arguments of the problem.
        methods: name → as it was asked for.
        target_error: for which the cheapest setting is named.
        choices: for every problem.
        everywhere: where there are several problems, the points of the setting that meets the
            target on all of them with the fewest evaluations; none if there is no such setting.
    """

    version: str
    created: str
    command: str
    problem: str
    spec: str
    overrides: dict[str, Any]
    options: dict[str, Any]
    axes: dict[str, list[Any]]
    varied_options: list[str]
    methods: dict[str, str]
    target_error: float
    points: list[SweepPoint]
    choices: list[Choice]
    everywhere: list[int]
