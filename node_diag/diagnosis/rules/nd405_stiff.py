"""The problem is stiff: stability, not accuracy, limits the steps.

An explicit method has to keep h |λ| within its stability region for every eigenvalue of ∂f/∂z,
also of components that have long died out. The steps then do not get longer with the tolerance, and
the reverse-time flow of a continuous adjoint is as unstable as the forward flow is stiff.

Detected: for more than half of the steps (the first tenth aside), h |λ| of the most damped
eigenvalue is within a third of the solver's stability interval.

What to do: an implicit solver; fewer steps are not to be had from a tolerance.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import command
from node_diag.diagnosis.rule import Rule
from node_diag.records import Finding, Report

MOST = 0.5


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for the run."""
    stability = report.inspection.stability if report.inspection else None
    if stability is None or not stability.stability_share > MOST:
        return
    yield rule.finding(
        f"{stability.stability_share:.0%} of the {report.solution.n_accepted} steps are as long as "
        f"the stability of {report.config.solver} allows: the problem is stiff",
        "a looser tolerance takes as many steps, which shows it: "
        + command(report, rtol=report.config.rtol * 100, atol=report.config.atol * 100),
        None,
        share=stability.stability_share,
        steps=report.solution.n_accepted,
    )


RULE = Rule("ND405", "warning", detect)
