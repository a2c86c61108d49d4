"""The problem's closed form is not the solution of its ODE.

A closed form is only a truth if it solves the equations that are checked. It is held against the
sensitivity equations, which use f alone; where the two gradients differ, the closed form is another
problem's, or it loses its digits in cancellation, and the sensitivity equations are taken instead.

Detected: the two gradients differ by more than 1e-6 and more than their uncertainties, and
differences of the loss along the line of their difference side with the sensitivity equations.

What to do: correct the formula, or rewrite what cancels (expm1 in place of exp(x) − 1).
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import command
from node_diag.diagnosis.rule import Rule
from node_diag.records import Finding, ReferenceRecord, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding if the closed form was put aside."""
    truth = report.references.continuous
    if isinstance(truth, ReferenceRecord) and truth.details.get("closed_form_disagrees"):
        distance = truth.details["distance_from_sensitivities"]
        yield rule.finding(
            f"the closed form's gradient is {distance:.1e} (relative) away from that of the "
            "sensitivity equations, which were taken as the continuous truth",
            "correct exact=..., or leave it out: " + command(report, reference="sensitivity"),
            None,
            distance=distance,
        )


RULE = Rule("ND302", "error", detect)
