"""f jumps on the trajectory.

A switch (torch.where, a comparison, floor) changes the value of f at once. If the time alone
decides, the gradient is defined, and an observation time at the switch lets the solver step onto
it. If the state decides, dz/dz0 jumps as well when the trajectory crosses (a saltation matrix), and
autograd leaves that jump out: every method is then off by it, and so are the sensitivity equations.

Detected: an operation changes its branch between neighbouring points of the trajectory, and f has
different values on both sides.

What to do: smooth the switch, or end the solve at the event and start another one.
"""

from collections.abc import Iterable

from node_diag.diagnosis.rule import Rule
from node_diag.records import Finding, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each kind of switch."""
    for switch in report.inspection.switches if report.inspection else []:
        if not switch.jump:
            continue
        decides = "the state" if switch.in_state else "the time"
        meaning = (
            "autograd leaves out the jump of the sensitivities"
            if switch.in_state
            else "an observation time there lets the solver step onto it"
        )
        yield rule.finding(
            f"f jumps by {switch.jump:.1e} (relative) at t = {switch.times[0]:.4g} "
            f"({switch.operation}; {decides} decides): {meaning}",
            "smooth the switch, or solve up to it and start again from there; the problem is shown "
            f"by node-diag show {report.config.problem}",
            None,
            operation=switch.operation,
            times=switch.times,
            jump=switch.jump,
            in_state=switch.in_state,
        )


RULE = Rule("ND404", "warning", detect)
