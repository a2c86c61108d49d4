"""The adjoint's reverse-time state left the forward trajectory.

The continuous adjoint solves z backward in time from z(t1). Where the forward flow contracts, the
reverse flow expands, and the reconstruction z̄(t) leaves z(t) exponentially fast; the gradient is
then that of another trajectory. It may explode, or stay finite and be wrong without a sign of it.
How fast it has to leave is computed from the Jacobians of f along the forward trajectory.

Detected: a reverse-time method whose state is off by more than 1 % of the trajectory's size, and
whose gradient is off by more than 1 % as well.

What to do: use a method that stores the trajectory (aca or direct). Tightening the adjoint's
tolerances delays the departure but cannot prevent it.
"""

from collections.abc import Iterable

from node_diag.diagnosis.reverse_time import departure, evidence, outcome
from node_diag.diagnosis.rule import Rule, command, continuous, off_truth, stored
from node_diag.records import Finding, Report

NOTICEABLE = 1e-2


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each reverse-time method whose gradient went with its state."""
    for method in report.methods:
        path, error = method.reconstruction, continuous(method)
        if path is None or not path.measured or error is None:
            continue
        if path.max_error <= NOTICEABLE or error <= NOTICEABLE:
            continue
        other = stored(report)
        compared = continuous(other) if other else None
        how = "exploded" if outcome(method) == "exploded" else "is finite and wrong"
        yield rule.finding(
            f"{method.name}: the reverse-time state {how}: it ends {path.initial_error:.1e} "
            f"(relative) away from z0, and the gradient is off by {off_truth(method)}"
            + (
                f"; {other.name}, which stores the states, is off by {off_truth(other)}"
                if other and compared is not None
                else ""
            )
            + f". {departure(report, method)}",
            f"train with a method that stores the trajectory: {command(report, method='aca')}",
            method.name,
            reconstruction_max_error=path.max_error,
            reconstruction_initial_error=path.initial_error,
            gradient_error=error,
            **evidence(report, method),
        )


RULE = Rule("ND101", "error", detect)
