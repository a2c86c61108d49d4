"""A gradient comes with the loss of another problem.

A function of one's own that leaves out a mean, a weight or a term differentiates another loss. Its
gradient may be wrong by the same factor, or right while what is logged beside it is not.

Detected: the loss that a method of the user's returned is off by more than 1 % from that of an
accurate solve, and by ten times as much as that of the check's own solve, which tells how well a
loss can be known that is nearly zero.

What to do: compute the loss by the problem's own function, problem.loss(zs).
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import show
from node_diag.diagnosis.metrics import NOTICEABLE
from node_diag.diagnosis.rule import Rule
from node_diag.records import Finding, MissingReference, Report

WORSE = 10.0


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each method that solves by itself and is no library's."""
    truth, where = _accurate(report)
    looks = report.inspection.repeatability if report.inspection else None
    if looks is not None and not looks.all_repeats(report.config.dtype):
        return  # it is another loss each time
    for method in report.methods:
        if method.loss is None or method.own_steps is not None:
            continue
        own = abs(report.solution.loss - truth)
        if not abs(method.loss - truth) > max(NOTICEABLE * (abs(truth) or 1.0), WORSE * own):
            continue
        yield rule.finding(
            f"{method.name}: the loss it returned is {method.loss:.6g}, that of {where} is "
            f"{truth:.6g}: its gradient may be that of another problem",
            f"take the loss from problem.loss; the problem is shown by {show(report)}",
            method.name,
            loss=method.loss,
            expected=truth,
        )


def _accurate(report: Report) -> tuple[float, str]:
    """The loss to compare with, and of what it is."""
    reference = report.references.continuous
    known = None if isinstance(reference, MissingReference) else reference.details.get("loss")
    if isinstance(known, float):
        return known, "an accurate solve"
    return report.solution.loss, "the check's own solve"


RULE = Rule("ND213", "warning", detect)
