"""The error control does not see the sensitivities.

The step-size controller looks at z alone. Where z hardly changes (an equilibrium, a plateau) its
error estimate vanishes and steps grow without bound, while dz/dz0 is multiplied by the stability
polynomial at a huge h·λ. The derivative of the accepted steps is then wrong at every tolerance.

Detected: the accepted steps mostly grew by the largest factor the controller allows, methods agree
with the discrete truth, and that is more than 10 % away from the continuous truth.

What to do: let the error control see the sensitivities (--control sensitivities), or bound the
step (--max-step); tightening rtol does not help. The first is tried out, and its error is in the
finding.
"""

import itertools
from collections.abc import Iterable

from node_diag.diagnosis.rule import (
    Rule,
    candidates,
    command,
    continuous,
    discrete,
    known,
    off_steps,
    off_truth,
    stored,
)
from node_diag.records import Finding, Report

LARGEST_GROWTH = 9.99
"""The controller multiplies a step by ten at most; accepted steps closer than this to it."""


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for the run: it is the grid that is wrong, not a method."""
    method = stored(report)
    share = growing_share(report)
    if method is None or share < 0.5:
        return
    far, near = continuous(method), discrete(method)
    if far is None or near is None or far < 0.1 or near > 1e-3 * far:
        return
    cured = [c for c in candidates(report) if c.control == "sensitivities" and c.error is not None]
    cure = ""
    if cured:
        cure = f"; with --control sensitivities it is {known(cured[0].error, cured[0].uncertainty)}"
    yield rule.finding(
        f"{method.name} and the other discrete gradients are the derivative of the accepted steps "
        f"(to {off_steps(method)}), and that is {off_truth(method)} away from the continuous "
        f"truth: the error estimate saw nothing, {share:.0%} of the steps grew by the largest "
        f"factor{cure}",
        "rtol does not help; let the error control see the sensitivities: "
        + command(report, control="sensitivities"),
        None,
        discrete_error=near,
        continuous_error=far,
        share_of_steps_at_largest_growth=share,
        error_with_sensitivities_controlled=cured[0].error if cured else None,
        adjoint_command=command(report, method="adjoint"),
    )


def growing_share(report: Report) -> float:
    """Share of accepted steps, the last one aside, that are ten times the one before."""
    pairs = zip(report.series.steps.h, report.series.steps.accepted, strict=True)
    sizes = [abs(h) for h, accepted in pairs if accepted][:-1]
    if len(sizes) < 3:
        return 0.0
    grown = [later / earlier > LARGEST_GROWTH for earlier, later in itertools.pairwise(sizes)]
    return sum(grown) / len(grown)


RULE = Rule("ND203", "error", detect)
