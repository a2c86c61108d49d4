"""Evaluating f changes the module's buffers.

Batch normalisation in training mode updates its running statistics at every evaluation, rejected
trials included: how often depends on the solver and its tolerance, so the model that is evaluated
later depends on them too. The gradient is not affected as long as f does not read what it changes.

Detected: a buffer differs after f was evaluated, and f gives the same value all the same.

What to do: call .eval() on those layers, or normalise outside the solve.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import command
from node_diag.diagnosis.rule import Rule
from node_diag.records import Finding, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding, naming the layers."""
    if report.inspection is None:
        return
    found = report.inspection.repeatability
    statistics = [name for name in found.suspects if "Norm" in name]
    if found.spread == 0 and statistics and found.changed:
        yield rule.finding(
            f"every evaluation of f changes {len(found.changed)} buffers ({found.changed[0]}, …): "
            f"{', '.join(statistics)} in training mode",
            f"call .eval() on those layers; then look again with {command(report)}",
            None,
            changed=found.changed,
            layers=statistics,
        )


RULE = Rule("ND402", "warning", detect)
