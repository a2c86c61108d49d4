"""Hessian-vector products are wrong although they can be computed.

Double backward goes through formulas that a gradient never touches: the backward passes of custom
functions, and anything detached on the way. It returns numbers even so.

Detected: with --order 2, the product of a method's Hessian with a random vector is further than
1e-6 and than ten times its uncertainty from differences of the method's own gradient.

What to do: look for a custom torch.autograd.Function whose backward is not differentiable itself
(save what it needs, use torch operations only), and for detach() in it.
"""

from collections.abc import Iterable

from node_diag.diagnosis.rule import Rule, command
from node_diag.records import Finding, Report

ROUND_OFF = 1e-6


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each method whose products are off."""
    for method in report.methods:
        error = method.second_order.error if method.second_order else None
        if error is None or error.relative_l2 is None:
            continue
        uncertainty = error.uncertainty or 0.0
        if error.relative_l2 <= max(ROUND_OFF, 10 * uncertainty):
            continue
        yield rule.finding(
            f"{method.name}: its Hessian-vector product is off by {error.relative_l2:.1e} from "
            f"differences of its own gradient (known to {uncertainty:.1e})",
            "look for a custom backward pass inside f that cannot be differentiated itself: "
            + command(report, method=method.name, order=2),
            method.name,
            hvp_error=error.relative_l2,
            uncertainty=uncertainty,
        )


RULE = Rule("ND208", "error", detect)
