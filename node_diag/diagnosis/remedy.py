"""What is advised against a wrong gradient: a setting that was run, or else what was not tried."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from node_diag.diagnosis.libraries import STORING
from node_diag.diagnosis.metrics import NOTICEABLE
from node_diag.diagnosis.rule import candidates, continuous, known, off_truth, stored
from node_diag.records import Candidate, MethodRecord, Report
from node_diag.registry import SOLVERS

HALF = 0.5
"""A setting that leaves more of the error than this is no remedy."""


def cure(
    report: Report, error: float, fits: Callable[[Candidate], bool] = lambda _: True
) -> Candidate | None:
    """The cheapest setting tried that leaves nothing to report; one that met the target first."""
    found = [
        c
        for c in candidates(report)
        if fits(c) and _error(c) <= NOTICEABLE and _error(c) < HALF * error
    ]
    met = [c for c in found if c.met]
    return min(met or found, key=lambda c: math.inf if c.nfe is None else c.nfe, default=None)


def better(report: Report, error: float) -> Candidate | None:
    """A cure, or else the best setting tried, if it halves the error."""
    best = min(candidates(report), key=_error, default=None)
    helps = best is not None and _error(best) < HALF * error
    return cure(report, error) or (best if helps else None)


def setting(candidate: Candidate) -> dict[str, Any]:
    """A setting as options of ``command``."""
    steps: dict[str, Any] = {"rtol": candidate.rtol, "atol": candidate.atol}
    if candidate.step_size is not None:
        steps["step_size"] = candidate.step_size
    return {"solver": candidate.solver, "control": candidate.control, **steps}


def seen(candidate: Candidate) -> str:
    """What a setting gave: ``2.4e-04 ± 9.5e-12 (1010 evaluations)``."""
    return f"{known(candidate.error, candidate.uncertainty)} ({candidate.nfe} evaluations)"


def storing(report: Report, method: MethodRecord, error: float) -> tuple[str, dict[str, Any]]:
    """For a method that loses its states: why one that stores them helps, and with which options.

    What is stored is right only as far as the accepted steps are. So this is what was seen: the
    gradient of such a method in this run, the library's own first, else in a run of the search,
    else a finer solve.
    """
    how, name = STORING.get(method.name, ("", ""))
    for theirs in (m for m in report.methods if m.name == name and m.status == "ok"):
        off = continuous(theirs)
        if off is not None and _halves(off, error):
            why = f"{how}, which stores the trajectory and is off by {off_truth(theirs)} here"
            return why, {"method": name}
    other = stored(report)
    off = continuous(other) if other else None
    if other is not None and (off is None or _halves(off, error)):
        if how and all(m.name != name for m in report.methods):
            return f"{how}, which stores the trajectory as {other.name} does", {"method": name}
        return "train with a method that stores the trajectory", {"method": other.name}
    found = better(report, error)
    if found is not None and report.recommendation is not None:
        name = report.recommendation.method
        return (
            "train with a method that stores the trajectory, on better steps; the error is then "
            f"{seen(found)}",
            {**setting(found), "method": name},
        )
    if off is None and not candidates(report):  # no run of one, and no truth to search with
        return "train with a method that stores the trajectory", {"method": "aca"}
    return (
        "a method that stores the trajectory is no better on these steps, so take finer ones first",
        finer(report),
    )


def fixed(report: Report) -> bool:
    """Whether the solver takes the steps it is given."""
    return not SOLVERS.load(report.config.solver).adaptive


def finer(report: Report) -> dict[str, Any]:
    """Smaller steps, by no more than a guess."""
    if fixed(report):
        return {"step_size": float(f"{0.1 * max(map(abs, report.series.steps.h)):.2g}")}
    return {
        "rtol": float(f"{report.config.rtol / 100:.1e}"),
        "atol": float(f"{report.config.atol / 100:.1e}"),
    }


def _halves(off: float, error: float) -> bool:
    """Whether an error is half of another at most; one that is no number counts as all of it."""
    return off < HALF * (error if math.isfinite(error) else 1.0)


def _error(candidate: Candidate) -> float:
    error = candidate.error
    return math.inf if error is None or math.isnan(error) else error
