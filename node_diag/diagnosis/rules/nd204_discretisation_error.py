"""The solver's own error is what makes the gradient wrong.

The methods that differentiate the accepted steps do so exactly; those steps are simply not the
exact flow, and their derivative is further from its than the states are.

Detected: error against the continuous truth above 1 % and at least a hundred times the error
against the discrete truth, while the error control does see the problem.

What to do: tighten rtol and atol, or take smaller steps. How far is extrapolated from how the error
falls with the tolerance, and the setting is run: its error is in the finding.
"""

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
from node_diag.diagnosis.rules.nd203_error_control_blind import growing_share
from node_diag.records import Finding, Report
from node_diag.registry import SOLVERS


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for the run."""
    method = stored(report)
    if method is None or growing_share(report) >= 0.5:
        return
    far, near = continuous(method), discrete(method)
    if far is None or near is None or far < 1e-2 or near > 1e-2 * far:
        return
    fixed = not SOLVERS.load(report.config.solver).adaptive
    if fixed:
        finer = {"step_size": float(f"{0.1 * max(map(abs, report.series.steps.h)):.2g}")}
    else:
        finer = dict.fromkeys(("rtol", "atol"), float(f"{report.config.rtol / 100:.1e}"))
    does = [
        c
        for c in candidates(report)
        if c.met and c.solver == report.config.solver and c.control == report.config.control
    ]
    cheapest = min(does, key=lambda c: c.nfe or 0, default=None)
    proven = ""
    if cheapest is not None:
        finer = (
            {"step_size": cheapest.step_size}
            if fixed
            else {"rtol": cheapest.rtol, "atol": cheapest.atol}
        )
        name, value = next(iter(finer.items()))
        off = known(cheapest.error, cheapest.uncertainty)
        proven = f"; at {name} {value:g} it is {off} ({cheapest.nfe} evaluations)"
    yield rule.finding(
        f"the discrete truth itself is {off_truth(method)} away from the continuous one with "
        f"these steps; {method.name} is its derivative to {off_steps(method)}{proven}",
        f"{'take smaller steps' if fixed else 'tighten the tolerance'}: {command(report, **finer)}",
        None,
        continuous_error=far,
        discrete_error=near,
        order=report.recommendation.order if report.recommendation else None,
        tried=[c.model_dump(exclude_none=True) for c in candidates(report)],
    )


RULE = Rule("ND204", "warning", detect)
