"""The adjoint is inaccurate although its reverse-time state is right.

The reconstruction follows the forward trajectory, so what is off is the solve of a and of the
parameter integral: its tolerances are too loose for the gradient asked of it.

Detected: reconstruction within 1 % in every component, gradient error above 1 % and more than ten
times that of a method that differentiates the accepted steps.

What to do: tighten --adjoint-rtol and --adjoint-atol.
"""

from collections.abc import Iterable

from node_diag.diagnosis.reverse_time import outcome
from node_diag.diagnosis.rule import Rule, command, continuous, off_truth, stored
from node_diag.records import Finding, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each reverse-time method that lost accuracy on the way back."""
    other = stored(report)
    best = continuous(other) if other else None
    for method in report.methods:
        path, error = method.reconstruction, continuous(method)
        if path is None or not path.measured or error is None or best is None:
            continue
        if outcome(method) == "followed" and error > 1e-2 and error > 10 * best:
            config = report.config
            tighter = {
                "adjoint_rtol": config.adjoint_rtol / 100,
                "adjoint_atol": config.adjoint_atol / 100,
            }
            yield rule.finding(
                f"{method.name}: the gradient is off by {off_truth(method)} although the "
                f"reverse-time state stays within {path.max_error:.1e} of the forward one",
                "tighten the backward tolerances: " + command(report, **tighter),
                method.name,
                gradient_error=error,
                reconstruction_max_error=path.max_error,
                other_method_error=best,
            )


RULE = Rule("ND103", "warning", detect)
