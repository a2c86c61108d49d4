"""A method misses the derivative of its own accepted steps.

aca and direct claim to differentiate the numbers the solver returned, and so does a method from
your own file; frozen-grid differences measure that derivative without using any derivative of f.
Missing it is an error in the implementation, or in a backward formula inside f.

Detected: error against the discrete reference above 1e-6 (in float32 above 1e-3, a few thousand
roundings of 6e-8 along the solve) and above ten times its uncertainty, for methods with constant
step sizes.

What to do: look at the tensor that is named. If several methods miss, check the custom backward
passes in f; if only your own method does, its formula for that tensor; else report a bug.
"""

from collections.abc import Iterable

from node_diag.diagnosis.rule import Rule, command, discrete
from node_diag.records import ErrorRecord, Finding, MethodRecord, Report

ALONE = 1e-3
"""Part of the worst tensor's error below which the others' are called right."""
ROUND_OFF = {"float64": 1e-6, "float32": 1e-3}


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each method with frozen steps that is not their derivative."""
    for method in report.methods:
        error = discrete(method)
        if not method.constant_steps or error is None or not method.errors:
            continue
        record = method.errors.discrete
        uncertainty = (record.uncertainty if record else None) or 0.0
        if error > ROUND_OFF[report.config.dtype] and error > 10 * uncertainty:
            where, tensors = _where(record)
            yield rule.finding(
                f"{method.name}: off by {error:.1e} from the derivative of its own accepted steps "
                f"(known to {uncertainty:.1e}){where}",
                _advice(report, method),
                method.name,
                discrete_error=error,
                uncertainty=uncertainty,
                by_tensor=tensors,
            )


def _where(record: ErrorRecord | None) -> tuple[str, dict[str, float]]:
    """Which tensor it is, and the relative error of each that is off."""
    if record is None:
        return "", {}
    off = {
        name: part.relative_l2
        for name, part in record.by_parameter.items()
        if part.relative_l2 is not None
        and name not in ("t0", "t1")
        and part.relative_l2 > 10 * (part.uncertainty or 0.0)
    }
    worst = sorted(off, key=lambda name: off[name], reverse=True)
    if not worst:
        return "", {}
    found = {name: off[name] for name in worst if off[name] > ALONE * off[worst[0]]}
    if len(found) == 1:
        return f"; all of it in {worst[0]}, which is off by {off[worst[0]]:.1e}", found
    return f"; worst in {worst[0]}, which is off by {off[worst[0]]:.1e}", found


def _advice(report: Report, method: MethodRecord) -> str:
    others = [m for m in report.methods if m.constant_steps and m.name != method.name]
    right = [
        m for m in others if (e := discrete(m)) is not None and e < ROUND_OFF[report.config.dtype]
    ]
    if right:
        return f"{right[0].name} is right on the same steps, so compare with it: " + command(
            report, method=f"{right[0].name},{method.name}"
        )
    return (
        "look for a wrong backward formula inside f, or a kink of f on the trajectory: "
        + command(report, method="aca,direct")
    )


RULE = Rule("ND201", "error", detect)
