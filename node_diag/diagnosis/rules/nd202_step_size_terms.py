"""The naive gradient contains the derivative of the step-size search.

Backprop through the controller, the rejected trials and the starting step adds dz/dh · dh/dz0 terms
that the gradient of the exact flow does not have. They vanish with the tolerance, but erratically.
Now and then they cancel discretisation error instead (steps that follow a close encounter when it
moves, as in three-body problems); then there is nothing to report.

Detected: naive differs from the derivative of the accepted steps by more than ten times the
reference's uncertainty and more than rtol, and is more than twice as far from the continuous truth.
Its terms are split by letting one kind of step-size derivative into the graph after another.

What to do: detach the step sizes (aca or direct do).
"""

from collections.abc import Iterable

from node_diag.diagnosis.rule import (
    Rule,
    command,
    continuous,
    discrete,
    off_steps,
    off_truth,
    stored,
)
from node_diag.records import Finding, Report, StepSizeTerms


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """A finding if naive is visibly not the derivative of the accepted steps."""
    for method in report.methods:
        terms = discrete(method)
        if (
            method.name != "naive"
            or terms is None
            or not method.errors
            or not method.errors.discrete
        ):
            continue
        uncertainty = method.errors.discrete.uncertainty or 0.0
        if terms <= max(10 * uncertainty, report.config.rtol):
            continue
        other = stored(report)
        compared = continuous(other) if other else None
        missed = discrete(other) if other else None
        if missed is not None and missed > 0.1 * terms:
            continue  # then it is no step-size term that keeps them all from it
        total = continuous(method)
        if total is not None and compared is not None and total <= 2 * compared:
            continue
        yield rule.finding(
            f"naive: the step-size search adds {off_steps(method)} (relative) to the gradient of "
            "the accepted steps"
            + (
                f"; error {off_truth(method)}, against {off_truth(other)} for {other.name}"
                if other and total is not None and compared is not None
                else ""
            )
            + _split(method.step_size_terms),
            f"hold the step sizes constant: {command(report, method='aca')}",
            "naive",
            step_size_terms=terms,
            naive_error=total,
            other_method_error=compared,
            **(method.step_size_terms.model_dump() if method.step_size_terms else {}),
        )


def _split(terms: StepSizeTerms | None) -> str:
    """Where the terms enter, and whose sign they turn around."""
    if terms is None:
        return ""
    text = (
        f"; by the starting step {terms.start:.1e}, after rejected trials {terms.rejected:.1e}, "
        f"after accepted steps {terms.accepted:.1e}"
    )
    if terms.flipped:
        text += f"; they turn the sign of {', '.join(terms.flipped)} around"
    return text


RULE = Rule("ND202", "warning", detect)
