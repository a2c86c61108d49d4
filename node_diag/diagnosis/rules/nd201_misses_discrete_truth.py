"""A method misses the derivative of its own accepted steps.

aca and direct claim to differentiate the numbers the solver returned; frozen-grid differences
measure that derivative without using any derivative of f. Missing it is an error in the
implementation, or in a backward formula inside f.

Detected: error against the discrete reference above 1e-6 (in float32 above 1e-3, a few thousand
roundings of 6e-8 along the solve) and above ten times its uncertainty, for methods with constant
step sizes.

What to do: check the custom backward passes in f; if there are none, report a bug.
"""

from collections.abc import Iterable

from node_diag.diagnosis.rule import Rule, command, discrete
from node_diag.records import Finding, Report

FROZEN = ("aca", "direct")
ROUND_OFF = {"float64": 1e-6, "float32": 1e-3}


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each method with frozen steps that is not their derivative."""
    for method in report.methods:
        error = discrete(method)
        if method.name not in FROZEN or error is None or not method.errors:
            continue
        record = method.errors.discrete
        uncertainty = (record.uncertainty if record else None) or 0.0
        if error > ROUND_OFF[report.config.dtype] and error > 10 * uncertainty:
            yield rule.finding(
                f"{method.name}: off by {error:.1e} from the derivative of its own accepted steps "
                f"(known to {uncertainty:.1e})",
                "look for a wrong backward formula inside f, or a kink of f on the trajectory: "
                + command(report, method="aca,direct"),
                method.name,
                discrete_error=error,
                uncertainty=uncertainty,
            )


RULE = Rule("ND201", "error", detect)
