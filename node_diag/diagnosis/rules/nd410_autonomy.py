"""f is not what the problem says: it ignores t, or depends on it.

A time that is not passed on (a forgotten concatenation, forward(self, t, y) that drops t) makes a
non-autonomous model an autonomous one, and nothing fails. The other way round, a leak of t makes
results depend on where the clock starts.

Detected: the problem says autonomous=False and f has the same values at other times, or it says
autonomous=True and f has not. A problem that says nothing is not judged.

What to do: pass t on, or correct what the problem says.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import show
from node_diag.diagnosis.rule import Rule
from node_diag.records import Finding, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding if what f does is not what was declared."""
    found = report.inspection.dependence if report.inspection else None
    if found is None or found.declared_autonomous is None:
        return
    if found.declared_autonomous != found.uses_time:
        return
    said = "autonomous" if found.declared_autonomous else "non-autonomous"
    does = "depends on t" if found.uses_time else "ignores t: its values are the same at all times"
    yield rule.finding(
        f"the problem says that f is {said}, but f {does}",
        f"pass t on inside f, or correct autonomous=...; the problem is shown by {show(report)}",
        None,
        declared_autonomous=found.declared_autonomous,
        uses_time=found.uses_time,
    )


RULE = Rule("ND410", "warning", detect)
