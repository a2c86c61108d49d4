"""The check could not have failed.

A gradient that is zero, a limit that even a gradient of zeros would meet, or a solve of so few
steps that nothing accumulates: passing such a check says nothing.

Detected: both truths are zero within their uncertainty; or a gate on a relative gradient error has
a limit of 1 or more, which g = 0 meets; or a forward solve takes a single step.

What to do: another loss, initial state or interval; a limit well below 1.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import command, show
from node_diag.diagnosis.rule import Rule
from node_diag.records import Finding, Reference, ReferenceRecord, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each reason."""
    look = show(report)
    if _zero(report.references.continuous) and _zero(report.references.discrete):
        yield rule.finding(
            "the gradient is zero in z0 and in every parameter, so any method that returns zeros "
            "is right",
            f"check another loss, initial state or interval; see {look}",
            None,
            reason="zero gradient",
        )
    for gate in report.gates:
        if gate.metric in ("grad_error", "grad_error_discrete") and gate.limit >= 1:
            yield rule.finding(
                f"{gate.method}: a limit of {gate.limit:g} on a relative error is met by a "
                "gradient of zeros",
                "set a limit well below 1: "
                + command(report, max_grad_error=[f"{gate.method}=1e-3"]),
                gate.method,
                reason="limit",
                limit=gate.limit,
            )
    if report.solution.n_accepted == 1:
        yield rule.finding(
            "the forward solve took a single step, so nothing that goes wrong between steps could "
            "be seen",
            f"check a longer interval or a smaller tolerance: "
            f"{command(report, rtol=report.config.rtol / 1000)}",
            None,
            reason="single step",
        )


def _zero(reference: Reference) -> bool:
    return (
        isinstance(reference, ReferenceRecord) and reference.norm <= reference.absolute_uncertainty
    )


RULE = Rule("ND305", "warning", detect)
