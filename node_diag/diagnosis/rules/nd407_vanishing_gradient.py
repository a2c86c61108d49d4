"""The adjoint state vanishes or explodes on its way from t1 to t0.

As in a deep network: where the flow contracts, dL/dz0 and the early share of dL/dθ shrink by orders
of magnitude; where it expands they explode. The gradient may be right to every digit and still
train the early part of the trajectory not at all, or make the first step of an optimiser a jump.

Detected: ‖a(t0)‖ is less than 1e-6 of the largest ‖a(t)‖, or more than 1e6 times ‖∂L/∂z‖ at the
observations.

What to do: a shorter interval, observations along the way, a loss that sees the early states.
"""

import math
from collections.abc import Iterable

from node_diag.diagnosis.again import show
from node_diag.diagnosis.rule import Rule
from node_diag.records import Finding, Report

ORDERS = 6.0


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for the run."""
    stability = report.inspection.stability if report.inspection else None
    if stability is None or not stability.log10_cotangent:
        return
    sizes = stability.log10_cotangent
    if max(sizes) < -290:  # the loss does not depend on the states at all
        return
    ratio = sizes[0] - max(sizes)
    growth = sizes[0] - stability.log10_loss_cotangent
    if math.isnan(ratio + growth) or (ratio >= -ORDERS and growth <= ORDERS):
        return
    what = "vanishes" if ratio < -ORDERS else "explodes"
    change = ratio if ratio < -ORDERS else growth
    yield rule.finding(
        f"the adjoint state {what}: from t1 to t0 it changes by a factor of 10^{change:.1f}",
        "add observations along the way or shorten the interval; the problem is shown by "
        f"{show(report)}",
        None,
        log10_change=change,
    )


RULE = Rule("ND407", "info", detect)
