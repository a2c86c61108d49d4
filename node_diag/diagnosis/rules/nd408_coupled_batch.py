"""One row of the batch sets the steps of all the others.

A batch solved as one system shares its step size, and the norm that decides is a mean over the
rows: a difficult row among easy ones makes all of them take its steps, and may itself be solved to
less than the tolerance, up to √B times.

Detected: the error of one row is more than ten times that of the typical row in most steps, and
exceeds its own tolerance, or the typical row alone would take less than half of the steps.

What to do: batch what is alike, tighten the tolerance for the difficult rows, or use a solver with
a step size for each row.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import command
from node_diag.diagnosis.rule import Rule
from node_diag.records import Finding, Report

LEAD, FEW = 10.0, 0.5


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for the run."""
    coupling = report.inspection.coupling if report.inspection else None
    if coupling is None or not coupling.lead > LEAD:
        return
    if not (coupling.over > 1 or coupling.share_alone < FEW):
        return
    over = (
        f", and its own error is up to {coupling.over:.1f} times the tolerance"
        if coupling.over > 1
        else ""
    )
    yield rule.finding(
        f"row {coupling.worst} of {coupling.rows} sets the step size for the batch: its local "
        f"error is {coupling.lead:.0f} times the typical row's{over}; alone, the typical row would "
        f"take about {coupling.share_alone:.0%} of the steps",
        f"solve unlike rows apart, or tighten the tolerance: "
        f"{command(report, rtol=report.config.rtol / 10, atol=report.config.atol / 10)}",
        None,
        row=coupling.worst,
        rows=coupling.rows,
        lead=coupling.lead,
        error_over_tolerance=coupling.over,
        share_of_steps_alone=coupling.share_alone,
    )


RULE = Rule("ND408", "info", detect)
