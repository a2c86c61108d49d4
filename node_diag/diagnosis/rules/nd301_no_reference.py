"""A reference gradient could not be computed.

Without a reference there is nothing to hold a gradient against, so errors against it are missing
and gates on them are inconclusive. The reason says what stood in the way.

Detected: one of the two references is missing.

What to do: as the reason says.
"""

from collections.abc import Iterable

from node_diag.diagnosis.rule import Rule, command
from node_diag.records import Finding, MissingReference, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each missing reference."""
    for which in ("continuous", "discrete"):
        reference = getattr(report.references, which)
        if isinstance(reference, MissingReference):
            yield rule.finding(
                f"no {which} reference: {reference.reason}",
                f"try another way to get one: {command(report, reference='auto')}",
                None,
                reference=which,
                reason=reference.reason,
            )


RULE = Rule("ND301", "warning", detect)
