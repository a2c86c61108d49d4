"""The error control does not see the sensitivities.

The step-size controller looks at z alone. Where z hardly changes (an equilibrium, a plateau) its
error estimate vanishes and steps grow without bound, while dz/dz0 is multiplied by the stability
polynomial at a huge h·λ. The derivative of the accepted steps is then wrong at every tolerance.

Detected: the derivative of the accepted steps is more than 1 % away from the continuous truth (an
error from 10 % on, a warning below), and the accepted steps mostly grew by the largest factor the
controller allows. Or runs show it: tighter tolerances leave more than half of the error, and with
the sensitivities in the error control less than a tenth is left.

What to do: let the error control see the sensitivities (--control sensitivities), or bound the
step (--max-step); tightening rtol does not help. The first is tried out, and its error is in the
finding.
"""

import itertools
from collections.abc import Iterable

from node_diag.diagnosis.accepted_steps import Steps, accepted_steps, explained
from node_diag.diagnosis.again import command
from node_diag.diagnosis.metrics import WRONG
from node_diag.diagnosis.remedy import HALF
from node_diag.diagnosis.rule import Rule, candidates, known
from node_diag.records import Candidate, Finding, Report

LARGEST_GROWTH = 9.99
"""The controller multiplies a step by ten at most; accepted steps closer than this to it."""
MOSTLY = 0.5
CURED = 0.1


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for the run: it is the grid that is wrong, not a method."""
    steps = accepted_steps(report)
    # The error control that was looked at is that of our steps.
    own = {method.name for method in report.methods if method.own_steps is not None}
    names = [name for name in explained(report, steps) if name not in own]
    if steps is None or not names or not blind(report, steps):
        return
    share, cured = growing_share(report), _resolving(report)
    saw = (
        f"the error estimate saw nothing, {share:.0%} of the steps grew by the largest factor"
        if share >= MOSTLY
        else "it hardly falls with the tolerance"
    )
    cure = ""
    if cured:
        cure = f"; with --control sensitivities it is {known(cured.error, cured.uncertainty)}"
    finding = rule.finding(
        f"the derivative of the accepted steps is {steps} away from the continuous truth, most "
        f"of the error of {', '.join(names)}: {saw}{cure}",
        "rtol does not help; let the error control see the sensitivities: "
        + command(report, control="sensitivities"),
        None,
        methods=names,
        continuous_error=steps.off,
        share_of_steps_at_largest_growth=share,
        error_with_sensitivities_controlled=cured.error if cured else None,
    )
    yield finding if steps.off >= WRONG else finding.model_copy(update={"severity": "warning"})


def blind(report: Report, steps: Steps) -> bool:
    """Whether the error control does not see what makes the accepted steps wrong."""
    if report.config.control != "state":
        return False
    if growing_share(report) >= MOSTLY:
        return True
    cured, tighter = _resolving(report), _tighter(report)
    return (
        cured is not None
        and bool(tighter)
        and min(tighter) > HALF * steps.off
        and (cured.error or 0.0) < CURED * steps.off
    )


def _resolving(report: Report) -> Candidate | None:
    """The run with the sensitivities in the error control."""
    found = (c for c in candidates(report) if c.control != "state" and c.error is not None)
    return next(found, None)


def _tighter(report: Report) -> list[float]:
    """Errors of the chosen solver at smaller tolerances."""
    config = report.config
    return [
        c.error
        for c in candidates(report)
        if c.solver == config.solver
        and c.control == "state"
        and c.rtol < config.rtol
        and c.error is not None
    ]


def growing_share(report: Report) -> float:
    """Share of accepted steps, the last one aside, that are ten times the one before."""
    pairs = zip(report.series.steps.h, report.series.steps.accepted, strict=True)
    sizes = [abs(h) for h, accepted in pairs if accepted][:-1]
    if len(sizes) < 3:
        return 0.0
    grown = [later / earlier > LARGEST_GROWTH for earlier, later in itertools.pairwise(sizes)]
    return sum(grown) / len(grown)


RULE = Rule("ND203", "error", detect)
