"""Which part of the error is float32, or the fewer digits that f computes in.

In float32 a gradient carries the rounding of every step besides the discretisation error. Both
references are computed in float64 at the same, rounded parameters, and the discrete one on the very
steps the float32 solve took: a method's distance from it is precision, its distance from the
continuous truth is precision and discretisation together. Under autocast f has the three digits of
bfloat16, or the four of float16: autocast leaves float64 alone, so the references see none of it.

Detected: the check runs in float32 and both references are known. A warning where f computes in
fewer digits and the gradient is off by more than 1 % for it. In float64: f enters an autocast. Of
a captured call that ran under autocast: it is made again as it was, and once more without.

What to do: where precision dominates, a smaller rtol does not help; float64 does. Where f computes
under autocast, leave f out of it: ``with torch.autocast(..., enabled=False)``.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import command
from node_diag.diagnosis.metrics import NOTICEABLE
from node_diag.diagnosis.precision import by_autocast, narrow_type
from node_diag.diagnosis.remedy import finer, fixed
from node_diag.diagnosis.rule import (
    Rule,
    continuous,
    discrete,
    known,
    off_steps,
    off_truth,
    stored,
)
from node_diag.records import Finding, Report

FINEST = 1e-6
"""Some eight machine epsilons of float32: below that tolerance the error estimate is rounding."""


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding that splits the error of a method with constant step sizes."""
    yield from _unseen(rule, report)
    yield from _calls(rule, report)
    method, steps = stored(report), report.references.discretisation
    if report.config.dtype != "float32" or method is None or steps is None:
        return
    total, rounding = continuous(method), discrete(method)
    if total is None or rounding is None:
        return
    main = "precision" if rounding > steps else "discretisation"
    smaller, narrow = report.config.rtol / 10, narrow_type(report)
    if main == "precision" and narrow is not None:
        advice = (
            "leave f out of autocast; float64, which autocast leaves alone, shows what that gives: "
            f"{command(report, dtype='float64')}"
        )
    elif main == "precision":
        advice = f"float64 removes it, finer steps do not: {command(report, dtype='float64')}"
    elif fixed(report):
        advice = f"smaller steps remove it: {command(report, **finer(report))}"
    elif smaller < FINEST:
        advice = "a smaller rtol removes it, and that needs float64: " + command(
            report, rtol=smaller, dtype="float64"
        )
    else:
        advice = f"a smaller rtol removes it: {command(report, rtol=smaller)}"
    advice = _met(report, total) + advice
    where = f"the {narrow} in which f computes" if narrow else "float32 rounding"
    found = rule.finding(
        f"{method.name}: of its error of {off_truth(method)}, {where} makes "
        f"{off_steps(method)} and discretisation {steps:.1e}; {main} dominates",
        advice,
        method.name,
        error=total,
        precision=rounding,
        discretisation=steps,
        narrow_type=narrow,
    )
    is_off = narrow is not None and main == "precision" and total > NOTICEABLE
    yield found.model_copy(update={"severity": "warning"}) if is_off else found


def _calls(rule: Rule, report: Report) -> Iterable[Finding]:
    """What autocast makes of the gradient of a captured call."""
    for method in report.methods:
        ran, error = method.autocast, continuous(method)
        if ran is None or error is None:
            continue
        off = known(ran.without, ran.uncertainty)
        without = f"the same call is off by {off}" if ran.without is not None else "it fails"
        found = rule.finding(
            f"{method.name}: the call ran under autocast to {ran.dtype}, as it does here, and is "
            f"off by {off_truth(method)}; without autocast {without}",
            _met(report, error)
            + "leave the solve out of it, by torch.autocast(..., enabled=False) around the call; "
            "float64, which autocast leaves alone, shows what that gives: "
            f"{command(report, method=method.name, dtype='float64')}",
            method.name,
            error=error,
            **ran.model_dump(),
        )
        matters = by_autocast(method) and error > NOTICEABLE
        yield found.model_copy(update={"severity": "warning"}) if matters else found


def _met(report: Report, error: float) -> str:
    """Where nothing has to be done: the beginning of advice."""
    target = report.recommendation.target if report.recommendation else 0.0
    return f"the target of {target:g} is met as it is; below that, " if error <= target else ""


def _unseen(rule: Rule, report: Report) -> Iterable[Finding]:
    """What a check in float64 does not show of an f that trains in float32."""
    narrow = narrow_type(report)
    if report.config.dtype == "float64" and narrow is not None:
        yield rule.finding(
            f"f enters autocast to {narrow}, which leaves float64 alone: what it makes of the "
            "gradient in float32 is not seen here",
            f"check it as it trains: {command(report, dtype='float32')}",
            narrow_type=narrow,
        )


RULE = Rule("ND206", "info", detect)
