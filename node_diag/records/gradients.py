"""Gradients and how far they are from one another."""

from __future__ import annotations

from node_diag.records.base import Real, Record

LONGEST_LIST = 10_000
"""A longer gradient goes to arrays.npz; the list is null and ``arrays`` names the key."""


class GradientRecord(Record):
    """dL/dz0, dL/dt0, dL/dt1, dL/dts and dL/dθ. ``ts`` holds all times, t0 first and t1 last."""

    z0: list[Real] | None
    t0: Real | None
    """Null, and ``ts`` empty, of a method that gives no gradient in the times."""
    t1: Real | None
    ts: list[Real] = []
    params: dict[str, list[Real] | None]
    arrays: dict[str, str] = {}
    """Key in arrays.npz of every null list: ``z0`` or ``params.<name>`` → key."""

    def tensors(self) -> dict[str, list[float]]:
        """Entries by what a reader calls them: z0, the parameters, t0 and t1; those in here."""
        found = {"z0": self.z0, **self.params}
        times = {name: [x] for name, x in (("t0", self.t0), ("t1", self.t1)) if x is not None}
        return {name: values for name, values in found.items() if values is not None} | times


class ParameterError(Record):
    """Error in one tensor (or in t0, t1)."""

    relative_l2: Real | None
    max_abs: Real
    uncertainty: Real | None = None
    """Of relative_l2, or of absolute_l2 where that is null."""
    absolute_l2: Real | None = None

    @property
    def judged(self) -> float | None:
        """The relative error, or the absolute one where the reference is zero."""
        return self.absolute_l2 if self.relative_l2 is None else self.relative_l2


class TimesError(ParameterError):
    """Error in dL/dts, all times as one vector: a single one may be zero by chance."""

    worst: str
    """The time that is off most: ``t0``, ``t1`` or ``ts[3]``."""


def time_name(index: int, length: int) -> str:
    """What the derivative in the time ts[index] of ``length`` is called."""
    return {0: "t0", length - 1: "t1"}.get(index, f"ts[{index}]")


class ErrorRecord(Record):
    """Distance of a gradient from a reference, over z0 and all parameters together."""

    relative_l2: Real | None
    """Null where the reference is zero within its uncertainty: then absolute_l2 is judged."""
    uncertainty: Real | None
    """Of relative_l2, or of absolute_l2 where that is null."""
    absolute_l2: Real
    max_abs: Real
    cosine: Real | None
    norm_ratio: Real | None
    by_parameter: dict[str, ParameterError]
    worst_tensor: str | None = None
    """The key of ``by_parameter`` whose relative error is largest for certain; never a time."""
    times: TimesError | None = None
    """Null where the reference knows no dL/dts."""

    @property
    def judged(self) -> float:
        """The relative error, or the absolute one where the reference is zero."""
        return self.absolute_l2 if self.relative_l2 is None else self.relative_l2


class Errors(Record):
    """Errors against the two truths; null where there is no such reference."""

    continuous: ErrorRecord | None
    discrete: ErrorRecord | None
