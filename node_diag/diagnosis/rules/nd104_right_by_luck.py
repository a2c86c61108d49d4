"""The reverse-time state is wrong, and the gradient is right all the same.

The gradient does not depend on z̄ where f is linear in z, or where the loss does not look. The next
set of parameters may not be so lucky: nothing about this run says that the adjoint can be trusted.

Detected: a reverse-time state off by more than 10 %, and a gradient within 0.1 %.

What to do: train with a method that stores the trajectory, or check again after some training.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import command
from node_diag.diagnosis.reverse_time import departure, evidence
from node_diag.diagnosis.rule import Rule, continuous, off_truth
from node_diag.records import Finding, Report

LOST, FINE = 0.1, 1e-3


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each reverse-time method that got away with it."""
    for method in report.methods:
        path, error = method.reconstruction, continuous(method)
        if path is None or not path.measured or error is None or method.status != "ok":
            continue
        if not path.max_error > LOST or not error < FINE:
            continue
        yield rule.finding(
            f"{method.name}: the gradient is right to {off_truth(method)} although the "
            f"reverse-time state is up to {path.max_error:.1e} (relative) off the trajectory. "
            + departure(report, method),
            "do not count on it; a method that stores the states needs no luck: "
            + command(report, method="aca"),
            method.name,
            gradient_error=error,
            reconstruction_max_error=path.max_error,
            **evidence(report, method),
        )


RULE = Rule("ND104", "warning", detect)
