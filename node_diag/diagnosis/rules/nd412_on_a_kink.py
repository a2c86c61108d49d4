"""The trajectory lies on a kink of f, or the loss has one at its states: there is no gradient.

A state that rests where f is |z| or relu(z) at zero, a parameter that is exactly zero inside an
absolute value, an L1 loss at a perfect fit. The loss then has another slope on each side, and what
autograd returns is the convention of one operation (relu'(0) = 0, |0|' = 0), no derivative. Methods
may well agree on it.

Detected: with values only, along random lines at five points of the trajectory: the difference
between the slopes of both sides stays as the step shrinks, at two points at least. Crossing a kink
is another matter (ND403): there the gradient exists.

What to do: start elsewhere (a small random number instead of zero), or use a smooth function
(softplus, √(z² + ε), Huber's loss).
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import command
from node_diag.diagnosis.rule import Rule
from node_diag.records import Finding, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each input with two slopes."""
    for kink in report.inspection.on_kinks if report.inspection else []:
        below, above = kink.slopes
        yield rule.finding(
            f"{kink.function} has a kink in {kink.input} where the trajectory is: along a random "
            f"line at t = {kink.t:.4g} its slope is {below:.6g} on one side and {above:.6g} on the "
            "other; no gradient exists, and a method returns one of many",
            "move it off the kink, or use a smooth function; the differences of the loss show "
            f"both slopes in their bar: {command(report, reference='fd')}",
            None,
            function=kink.function,
            input=kink.input,
            t=kink.t,
            slopes=list(kink.slopes),
        )


RULE = Rule("ND412", "warning", detect)
