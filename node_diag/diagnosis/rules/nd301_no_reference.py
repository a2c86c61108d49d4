"""A reference gradient could not be computed.

Without a reference there is nothing to hold a gradient against, so errors against it are missing
and gates on them are inconclusive. The reason says what stood in the way.

Detected: one of the two references is missing, and was not left out on purpose (--reference fd).

What to do: as the reason says.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import show
from node_diag.diagnosis.rule import Rule
from node_diag.diagnosis.rules.nd303_unknowable import MUCH
from node_diag.records import Finding, MissingReference, ReferenceRecord, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each missing reference."""
    missing: dict[str, list[str]] = {}
    for which in ("continuous", "discrete"):
        reference = getattr(report.references, which)
        if isinstance(reference, MissingReference) and not _explained(report, which):
            missing.setdefault(reference.reason, []).append(which)
    for reason, kinds in missing.items():
        other = "discrete" if kinds[0] == "continuous" else "continuous"
        there = isinstance(getattr(report.references, other), ReferenceRecord)
        meanwhile = f"judge by the {other} truth meanwhile; " if there else ""
        yield rule.finding(
            f"no {' and no '.join(kinds)} reference: {reason}",
            f"{meanwhile}the problem is shown by {show(report)}",
            None,
            reference=" and ".join(kinds),
            reason=reason,
        )


def _explained(report: Report, which: str) -> bool:
    """Whether another finding says why, or it was asked for."""
    if which == "continuous" and report.config.reference == "fd":
        return True
    found = report.inspection
    if found is None:
        return False
    if report.references.continuous.details.get("growth_of_perturbations", 0.0) > MUCH:
        return True
    if not found.repeatability.all_repeats(report.config.dtype):
        return True
    jumps = any(switch.moved_at is not None or switch.unjudged for switch in found.switches)
    wrong = any(mismatch.input != "t" for mismatch in found.derivatives)
    return which == "continuous" and (jumps or wrong or bool(found.on_kinks))


RULE = Rule("ND301", "warning", detect)
