"""Neighbouring trajectories part exponentially while the trajectory itself stays bounded: chaos.

The gradient of a long chaotic solve is dominated by a few directions and grows with the length of
the interval, until it says nothing about the loss at a finite distance. It is right and useless.

Detected: perturbations of z0 grow more than a thousandfold beyond what the state itself does.

What to do: shorten the interval, or split it (multiple shooting).
"""

import math
from collections.abc import Iterable

from node_diag.diagnosis.again import show
from node_diag.diagnosis.rule import Rule
from node_diag.records import Finding, Report

MUCH = 1e3


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for the run."""
    stability = report.inspection.stability if report.inspection else None
    if stability is None:
        return
    # The sensitivity equations know it better than Jacobians at the steps, if they were solved.
    growth = report.references.continuous.details.get(
        "growth_of_perturbations", 10 ** min(stability.log10_growth[-1], 300.0)
    )
    of_state = 10**stability.log10_state_growth
    if not growth > MUCH * of_state:
        return
    rate = math.log(growth) / abs(report.problem.t1 - report.problem.t0)
    yield rule.finding(
        f"perturbations of z0 grow {growth:.1e}-fold over the interval (rate {rate:.3g} per unit "
        f"of time) while the state grows {of_state:.1f}-fold: the gradient says little about "
        "finite steps",
        f"shorten the interval or split it; the problem is shown by {show(report)}",
        None,
        growth=growth,
        growth_rate=rate,
    )


RULE = Rule("ND406", "warning", detect)
