"""f jumps on the trajectory.

A switch (torch.where, a comparison, floor) changes the value of f at once. If the time alone
decides, the gradient is defined, at the price of rejected steps and of one step across the jump
that is less accurate than its tolerance says. If the state or a parameter decides, the
sensitivities jump as well when the trajectory crosses (a saltation matrix), and autograd leaves
that jump out: every method is then off by it, and so are the sensitivity equations.

Detected: an operation changes its branch between neighbouring points of the trajectory, and f has
different values on both sides. Just past the jump, at the same time, f is evaluated with the state
and the parameters nudged; if that leads back to before it, they decide.

What to do: smooth the switch, or end the solve at the event and start another one.
"""

import math
from collections.abc import Iterable

from node_diag.diagnosis.again import show
from node_diag.diagnosis.rule import MOST_NAMED, Rule
from node_diag.records import Finding, Report, Switch

CLOSE = 1e-9
"""Between times that were bisected to the last bit, of operations whose inputs are rounded."""


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each kind of switch; one that jumps where another does is not another."""
    for switch, operations in _apart(report.inspection.switches if report.inspection else []):
        at = switch.times[0] if switch.moved_at is None else switch.moved_at
        decides, meaning = _decided(switch)
        yield rule.finding(
            f"f jumps by {switch.jump:.1e} (relative) at t = {_when(switch, at)} "
            f"({operations}; {decides}): {meaning}",
            "smooth the switch, or solve up to each and start again from there; the problem is "
            f"shown by {show(report)}",
            None,
            operation=operations,
            times=switch.times,
            jump=switch.jump,
            in_state=switch.in_state,
            by_parameter=switch.by_parameter,
            unjudged=switch.unjudged,
        )


def _apart(switches: Iterable[Switch]) -> list[tuple[Switch, str]]:
    """Those that jump, with the names of all operations that do at the same times.

    As floor, and the cast to integers behind it.
    """
    found: list[tuple[Switch, str]] = []
    for switch in sorted((s for s in switches if s.jump), key=lambda s: -len(s.times)):
        for i, (other, names) in enumerate(found):
            if _decided(switch) == _decided(other) and all(
                any(math.isclose(t, u, rel_tol=CLOSE, abs_tol=CLOSE) for u in other.times)
                for t in switch.times
            ):
                found[i] = (other, f"{names}, {switch.operation}")
                break
        else:
            found.append((switch, switch.operation))
    return found


def _when(switch: Switch, at: float) -> str:
    """``1``, ``1, 1.7``, ``1, 1.7, 2.3, … (12 times)``: those that are noted."""
    noted = [at, *(t for t in switch.times if t != at)][:MOST_NAMED]
    more = f", … ({switch.crossings} times)" if switch.crossings > len(noted) else ""
    return ", ".join(f"{t:.4g}" for t in noted) + more


def _decided(switch: Switch) -> tuple[str, str]:
    """By what, and what that means."""
    if switch.in_state or switch.by_parameter:
        what = "the state" if switch.in_state else f"the parameter {switch.by_parameter}"
        return f"{what} decides", "autograd leaves out the jump of the sensitivities"
    if switch.unjudged:
        return (
            f"what decides was not found out in {switch.unjudged} intervals",
            "if it is the state or a parameter, autograd leaves out a jump of the sensitivities",
        )
    return "the time decides", "the gradient is defined, but the step across it is less accurate"


RULE = Rule("ND404", "warning", detect)
