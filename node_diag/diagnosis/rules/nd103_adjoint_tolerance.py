"""The adjoint is inaccurate although its reverse-time state is right.

The reconstruction follows the forward trajectory, so what is off is the solve of a and of the
parameter integral: its tolerances are too loose for the gradient asked of it.

Detected: reconstruction within 1 % in every component, gradient error above 1 % and more than twice
that of the accepted steps (what they explain is ND203's and ND204's).

What to do: tighten --adjoint-rtol and --adjoint-atol. How far is tried out, and the error seen is
in the finding; where that does not help, take a finer forward solve.
"""

import math
from collections.abc import Iterable

from node_diag.config import option_text
from node_diag.diagnosis.accepted_steps import accepted_steps, explained
from node_diag.diagnosis.again import command
from node_diag.diagnosis.left_out import left_out
from node_diag.diagnosis.metrics import NOTICEABLE
from node_diag.diagnosis.precision import by_autocast
from node_diag.diagnosis.remedy import HALF, better, finer, seen, setting
from node_diag.diagnosis.reverse_time import outcome
from node_diag.diagnosis.rule import Rule, continuous, known, off_truth
from node_diag.records import Candidate, Finding, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each reverse-time method that lost accuracy on the way back."""
    steps = accepted_steps(report)
    inherited = explained(report, steps)
    for method in report.methods:
        path, error = method.reconstruction, continuous(method)
        if path is None or not path.measured or error is None or method.name in inherited:
            continue
        if left_out(report, method) or by_autocast(method):
            continue  # no tolerance brings that back
        if outcome(method) == "followed" and error > NOTICEABLE:
            does = min(method.tightened, key=_error, default=None)
            what, advice = _remedy(report, error, does)
            yield rule.finding(
                f"{method.name}: the gradient is off by {off_truth(method)} although the "
                f"reverse-time state stays within {path.max_error:.1e} of the forward one{what}",
                advice,
                method.name,
                gradient_error=error,
                reconstruction_max_error=path.max_error,
                error_of_accepted_steps=steps.off if steps else None,
            )


def _remedy(report: Report, error: float, does: Candidate | None) -> tuple[str, str]:
    """What tighter backward tolerances were seen to give, and what to do."""
    helps = does is not None and _error(does) < HALF * error
    if does is not None and helps:
        options = {"adjoint_rtol": does.adjoint_rtol, "adjoint_atol": does.adjoint_atol}
        again = command(report, **options)
        off = known(does.error, does.uncertainty)
        return (
            f"; with --adjoint-rtol {option_text(does.adjoint_rtol)} and --adjoint-atol "
            f"{option_text(does.adjoint_atol)} it is off by {off}",
            f"tighten the backward tolerances: {again}",
        )
    why = "; tighter backward tolerances do not help" if does is not None else ""
    found = better(report, error)
    if found is not None and report.recommendation is not None:
        again = command(report, **setting(found), method=report.recommendation.method)
        return why, f"another setting is right, by {seen(found)}: {again}"
    return why, f"take a finer solve: {command(report, **finer(report))}"


def _error(candidate: Candidate) -> float:
    error = candidate.error
    return math.inf if error is None or math.isnan(error) else error


RULE = Rule("ND103", "warning", detect)
