"""Which part of the error is float32.

In float32 a gradient carries the rounding of every step besides the discretisation error. Both
references are computed in float64 at the same, rounded parameters, and the discrete one on the very
steps the float32 solve took: a method's distance from it is precision, its distance from the
continuous truth is precision and discretisation together.

Detected: the check runs in float32 and both references are known.

What to do: where precision dominates, a smaller rtol does not help; float64 does.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import command
from node_diag.diagnosis.remedy import finer, fixed
from node_diag.diagnosis.rule import Rule, continuous, discrete, off_steps, off_truth, stored
from node_diag.records import Finding, Report

FINEST = 1e-6
"""Some eight machine epsilons of float32: below that tolerance the error estimate is rounding."""


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding that splits the error of a method with constant step sizes."""
    method, steps = stored(report), report.references.discretisation
    if report.config.dtype != "float32" or method is None or steps is None:
        return
    total, rounding = continuous(method), discrete(method)
    if total is None or rounding is None:
        return
    main = "precision" if rounding > steps else "discretisation"
    smaller = report.config.rtol / 10
    if main == "precision":
        advice = f"float64 removes it, finer steps do not: {command(report, dtype='float64')}"
    elif fixed(report):
        advice = f"smaller steps remove it: {command(report, **finer(report))}"
    elif smaller < FINEST:
        advice = "a smaller rtol removes it, and that needs float64: " + command(
            report, rtol=smaller, dtype="float64"
        )
    else:
        advice = f"a smaller rtol removes it: {command(report, rtol=smaller)}"
    target = report.recommendation.target if report.recommendation else 0.0
    if total <= target:
        advice = f"the target of {target:g} is met as it is; below that, {advice}"
    yield rule.finding(
        f"{method.name}: of its error of {off_truth(method)}, float32 rounding makes "
        f"{off_steps(method)} and discretisation {steps:.1e}; {main} dominates",
        advice,
        method.name,
        error=total,
        precision=rounding,
        discretisation=steps,
    )


RULE = Rule("ND206", "info", detect)
