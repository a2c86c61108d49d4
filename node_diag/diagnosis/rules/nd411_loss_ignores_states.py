"""The loss does not depend on some of the states it is given.

Nothing then comes back from those observation times: a detach() or .item() in the loss, an index
that picks one time only, or a loss that is flat there. If it is none of them, every gradient is
zero but for what the loss takes from the parameters directly.

Detected: ∂L/∂z is exactly zero at some observation times, and at states beside theirs as well.
Where it is zero at the solved states only, the loss is stationary (a perfect fit): that is a note.

What to do: look at the loss; observation times that are not used may be left out.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import show
from node_diag.diagnosis.rule import Rule
from node_diag.records import Finding, Report

MEANT = "a loss of the last state alone means it; if this one does not, "


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding; no more than a note while other observation times count."""
    found = report.inspection.dependence if report.inspection else None
    if found is not None and found.stationary:
        yield rule.finding(
            "the loss is stationary at the solved states, as for a perfect fit: its derivative "
            "there is exactly zero, and there is no gradient to judge but what the loss takes from "
            "the parameters directly",
            "judge the gradient where the model does not fit yet; the problem is shown by "
            f"{show(report)}",
            None,
            stationary=True,
        ).model_copy(update={"severity": "info"})
    if found is None or not found.unused_times or _is_cut(report):
        return
    total, unused = len(report.problem.ts) - 1, len(found.unused_times)
    which = (
        "any of the states"
        if unused == total
        else f"the states at {unused} of {total} observation times, the first at "
        f"t = {found.unused_times[0]:.4g}"
    )
    finding = rule.finding(
        f"the loss does not depend on {which}: its derivative there is exactly zero",
        f"{MEANT if unused < total else ''}look for detach(), .item() or an index in the loss; the "
        f"problem is shown by {show(report)}",
        None,
        unused=unused,
        total=total,
    )
    yield finding if unused == total else finding.model_copy(update={"severity": "info"})


def _is_cut(report: Report) -> bool:
    """Whether it does depend on them, and autograd does not see it (ND205)."""
    derivatives = report.inspection.derivatives if report.inspection else []
    return any(wrong.function == "loss" and wrong.input == "zs" for wrong in derivatives)


RULE = Rule("ND411", "warning", detect)
