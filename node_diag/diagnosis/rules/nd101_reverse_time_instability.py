"""The adjoint's reverse-time state left the forward trajectory.

The continuous adjoint solves z backward in time from z(t1). Where the forward flow contracts, the
reverse flow expands, and the reconstruction z̄(t) leaves z(t) exponentially fast; the gradient is
then that of another trajectory. It may explode, or stay finite and be wrong without a sign of it.
How fast it has to leave is computed from the Jacobians of f along the forward trajectory.

Detected: a reverse-time method whose state is off by more than 1 % of the trajectory's size, or one
component by more than 1 % of its own (of those larger than atol), and whose gradient is off by more
than 1 % as well. It is a warning where a method that stores the states is no better: then the steps
are to blame for both.

What to do: use a method that stores the trajectory (aca or direct), where that was seen to be
better; on steps so coarse that it is not, finer ones first. Tightening the adjoint's tolerances
delays the departure but cannot prevent it.
"""

import math
from collections.abc import Iterable

from node_diag.diagnosis.again import command
from node_diag.diagnosis.metrics import NOTICEABLE
from node_diag.diagnosis.precision import by_autocast
from node_diag.diagnosis.remedy import storing
from node_diag.diagnosis.reverse_time import departure, evidence, outcome
from node_diag.diagnosis.rule import Rule, continuous, off_truth, stored
from node_diag.records import Finding, Reconstruction, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each reverse-time method whose gradient went with its state."""
    for method in report.methods:
        path, error = method.reconstruction, continuous(method)
        if path is None or not path.measured or error is None:
            continue
        how = outcome(method)
        if how == "followed" or error <= NOTICEABLE or by_autocast(method):
            continue
        other = stored(report)
        compared = continuous(other) if other else None
        why, options = storing(report, method, error)
        finding = rule.finding(
            f"{method.name}: {_state(path, how == 'exploded')}, and the gradient is "
            + (f"off by {off_truth(method)}" if math.isfinite(error) else "not finite")
            + (
                f"; {other.name}, which stores the states, is off by {off_truth(other)}"
                if other and compared is not None
                else ""
            )
            + (f". {left}" if (left := departure(report, method)) else ""),
            f"{why}: {command(report, **options)}",
            method.name,
            reconstruction_max_error=path.max_error,
            reconstruction_initial_error=path.initial_error,
            component=path.component,
            component_error=path.component_error,
            gradient_error=error,
            **evidence(report, method),
        )
        # Where stored states serve no better, the steps are to blame for both (ND204).
        shared = compared is not None and compared >= error
        yield finding.model_copy(update={"severity": "warning"}) if shared else finding


def _state(path: Reconstruction, exploded: bool) -> str:
    if path.departure is None:
        return (
            "the reverse-time state is right in all that is large, but its entry "
            f"{path.component}, {path.size:.1e} at most, is off by {path.component_error:.1e} "
            "times that"
        )
    how = "exploded" if exploded else "is finite and wrong"
    return (
        f"the reverse-time state {how}: it is up to {path.max_error:.1e} (relative) off the "
        f"trajectory and ends {path.initial_error:.1e} away from z0"
    )


RULE = Rule("ND101", "error", detect)
