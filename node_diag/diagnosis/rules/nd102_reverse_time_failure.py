"""The adjoint's reverse-time solve did not reach t0.

The reverse-time solve of (z̄, a, ∂L/∂θ) ended in an underflowing step, a non-finite state or too
many steps, although the forward solve went through: the reverse-time flow is unstable or stiff.

Detected: a reverse-time method failed while the forward solve succeeded, and the derivatives of f
and of the loss are finite along the trajectory (if they are not, it is ND209).

What to do: use a method that stores the trajectory (aca or direct).
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import command
from node_diag.diagnosis.remedy import storing
from node_diag.diagnosis.reverse_time import departure, evidence, outcome
from node_diag.diagnosis.rule import Rule
from node_diag.errors import SolveError
from node_diag.records import Finding, Report

REASONS = {error.reason for error in (SolveError, *SolveError.__subclasses__())}
NOTHING = 1.0
"""Relative error of a gradient of zeros; having none is no better."""


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each failed method that runs backward in time."""
    for method in report.methods:
        # A library that refuses its arguments has not come to a reverse-time solve.
        solved = (method.failure or "").partition(": ")[0] in REASONS
        failed = method.status == "failed" and method.reconstructs and solved
        if failed and method.nan_origin is None:
            left = departure(report, method)
            why, options = storing(report, method, NOTHING)
            yield rule.finding(
                f"{method.name}: the reverse-time solve {outcome(method)}, so there is no gradient "
                f"at all; {_why(method.failure or '')}"
                + (f". Before that, {left}" if left else ""),
                f"{why}: {command(report, **options)}",
                method.name,
                failure=method.failure,
                **evidence(report, method),
            )


def _why(failure: str) -> str:
    """Without the reason that the outcome has in other words."""
    return failure.partition(": ")[2] or failure


RULE = Rule("ND102", "error", detect)
