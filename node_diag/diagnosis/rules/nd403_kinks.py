"""f has kinks on the trajectory.

relu, abs, clamp, maximum: f is continuous there but its derivative jumps. The sensitivity equations
hold across a kink, so the gradient exists; but a step across one loses its order, the controller
rejects trials there, and differences with a large step are wrong. The frozen-grid differences start
from small steps for this reason.

Detected: an operation changes its branch between neighbouring points of the trajectory, and f has
the same value on both sides.

What to do: nothing, if the errors are small. A smooth activation (softplus, tanh) needs fewer
steps.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import show
from node_diag.diagnosis.rule import Rule
from node_diag.records import Finding, Report

SHOWN = 6


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding that lists the operations."""
    kinks = [s for s in (report.inspection.switches if report.inspection else []) if not s.jump]
    if not kinks:
        return
    total = sum(kink.crossings for kink in kinks)
    first = min(t for kink in kinks for t in kink.times)
    names = ", ".join(f"{kink.operation} {kink.crossings}" for kink in kinks)
    yield rule.finding(
        f"f crosses {total} kink{'s' if total > 1 else ''} on the trajectory ({names}), the first "
        f"at t = {first:.4g}: its derivative jumps there, the gradient is still defined",
        "nothing, while the errors are small; a smooth activation (softplus, tanh) has none: the "
        f"problem is shown by {show(report)}",
        None,
        crossings={kink.operation: kink.crossings for kink in kinks},
        some_of_the_times=sorted(t for kink in kinks for t in kink.times)[:SHOWN],
    )


RULE = Rule("ND403", "info", detect)
