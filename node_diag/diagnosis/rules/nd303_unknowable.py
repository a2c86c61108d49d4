"""The gradient is not known to float64: perturbations grow too much.

Where neighbouring trajectories part exponentially, the round-off of one operation at t0 becomes as
large as the solution, and with it the derivative: no solver and no reference can return its value
in float64. Verdicts on it are inconclusive.

Detected: two sensitivity solves with tolerances 1e-11 and 1e-13 differ by more than 1 % of the
gradient, and perturbations of z0 grow more than a thousandfold.

What to do: shorten the interval, split it (multiple shooting), or use a loss that is a long-time
average.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import show
from node_diag.diagnosis.rule import Rule
from node_diag.records import Finding, MissingReference, Report

MUCH = 1e3


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding if the sensitivity equations could not be trusted for their growth."""
    truth = report.references.continuous
    growth = truth.details.get("growth_of_perturbations", 0.0)
    if not isinstance(truth, MissingReference) or not growth > MUCH:
        return
    rate = truth.details["growth_rate"]
    yield rule.finding(
        f"perturbations of z0 grow {growth:.1e}-fold over the interval (rate {rate:.3g} per unit "
        "of time): the gradient is not known to float64, and no verdict on it is possible",
        "shorten the interval until the growth is below 1e6; see what there is with "
        f"{show(report)}",
        None,
        growth=growth,
        growth_rate=rate,
    )


RULE = Rule("ND303", "warning", detect)
