"""A gradient by backprop contains the derivative of the step-size search.

Backprop through the controller, the rejected trials and the starting step adds dz/dh · dh/dz0 terms
that the gradient of the exact flow does not have. They vanish with the tolerance, but erratically.
Now and then they cancel discretisation error instead (steps that follow a close encounter when it
moves, as in three-body problems); then there is nothing to report.

Detected: naive, or a library's backprop that leaves step sizes in its graph, differs from the
derivative of the accepted steps by more than ten times the reference's uncertainty and more than
rtol, and is more than twice as far from the continuous truth. Below 1 % of error it is a note,
unless a limit was missed.
Where the time is cut from the graph (ND207), the terms are not even the derivative of the step
sizes. They are split by letting one kind of step-size derivative into the graph after another.

What to do: detach the step sizes (aca or direct do; of the libraries, torchode by an option of its
AutoDiffAdjoint, and torchdiffeq has no more than the starting step in its graph, which a first_step
takes out).
"""

from collections.abc import Iterable

from node_diag.diagnosis.accepted_steps import (
    accepted_steps,
    by_step_sizes,
    elsewhere,
    taken_by,
)
from node_diag.diagnosis.again import command
from node_diag.diagnosis.libraries import CONSTANT_STEPS
from node_diag.diagnosis.metrics import NOTICEABLE
from node_diag.diagnosis.precision import by_autocast
from node_diag.diagnosis.rule import Rule, continuous, discrete, off_steps, off_truth, stored
from node_diag.records import Finding, MethodRecord, Report, StepSizeTerms


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """A finding for each that is visibly not the derivative of the accepted steps."""
    ours = accepted_steps(report)
    for method in report.methods:
        steps = taken_by(method, ours)
        terms, total = discrete(method), continuous(method)
        if not by_step_sizes(report, method) or by_autocast(method) or not _sees_f(report):
            continue
        if not (_visible(report, method, terms) or elsewhere(method, steps)):
            continue
        if total is not None and steps is not None and total <= 2 * steps.off:
            continue
        other = stored(report)
        compared = continuous(other) if other else None
        finding = rule.finding(
            f"{method.name}: the step-size search adds {off_steps(method)} (relative) to the "
            "gradient of the accepted steps"
            + (
                f"; error {off_truth(method)}, against {off_truth(other)} for {other.name}"
                if other and total is not None and compared is not None
                else ""
            )
            + _split(method.step_size_terms, terms)
            + _cut(report),
            _advice(report, method),
            method.name,
            step_size_terms=terms,
            error=total,
            other_method_error=compared,
            **(method.step_size_terms.model_dump() if method.step_size_terms else {}),
        )
        off = terms if total is None else total
        matters = method.verdict == "fail" or off is None or not off <= NOTICEABLE
        yield finding if matters else finding.model_copy(update={"severity": "info"})


def _advice(report: Report, method: MethodRecord) -> str:
    how, other = CONSTANT_STEPS.get(method.name, ("hold the step sizes constant", "aca"))
    return f"{how}: {command(report, method=other)}"


def _sees_f(report: Report) -> bool:
    """Whether autograd gets f right; else (ND205) what is left says nothing of step sizes."""
    derivatives = report.inspection.derivatives if report.inspection else []
    return all(wrong.input == "t" for wrong in derivatives)


def _visible(report: Report, method: MethodRecord, terms: float | None) -> bool:
    record = method.errors.discrete if method.errors else None
    uncertainty = (record.uncertainty if record else None) or 0.0
    return terms is not None and terms > max(10 * uncertainty, report.config.rtol)


def _cut(report: Report) -> str:
    """The terms go through df/dt, which autograd may not know."""
    if report.inspection is None or all(w.input != "t" for w in report.inspection.derivatives):
        return ""
    return "; autograd does not see how f depends on t (ND207), so these terms are wrong themselves"


def _split(terms: StepSizeTerms | None, total: float | None) -> str:
    """Where the terms enter, and whose sign they turn around."""
    if terms is None:
        return ""
    text = (
        f"; by the starting step {terms.start:.1e}, after rejected trials {terms.rejected:.1e}, "
        f"after accepted steps {terms.accepted:.1e}"
    )
    if total is not None and terms.start + terms.rejected + terms.accepted > 2 * total:
        text += ", which partly cancel"
    if terms.flipped:
        text += f"; they turn the sign of {', '.join(terms.flipped)} around"
    return text


RULE = Rule("ND202", "warning", detect)
