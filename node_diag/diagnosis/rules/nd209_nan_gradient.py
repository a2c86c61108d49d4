"""A gradient contains NaN or infinity although the loss is finite.

Something is differentiated where it has no derivative: sqrt or a norm at zero, 0/0 hidden by
torch.where, an overflow inside f's derivative, or (naive) the power law of the step controller at
an error of zero. One NaN in one entry makes every parameter of an optimiser NaN after one step.

Detected: an entry of a method's gradient is not finite. The backward pass is then run again, and
the evaluation of f at which the first such cotangent arrives is noted.

What to do: look at f at that time; torch.autograd.set_detect_anomaly names the operation.
"""

import math
from collections.abc import Iterable

from node_diag.diagnosis.rule import Rule, command
from node_diag.records import Finding, MethodRecord, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each method."""
    for method in report.methods:
        bad = _bad_tensors(method)
        if not bad:
            continue
        origin = method.nan_origin
        where = ""
        if origin is not None:
            place = f"stage {origin.stage + 1} of step {origin.step + 1}, at t = {origin.t:.6g}"
            where = (
                f"; every cotangent that reached f is finite, so it is f's own derivative that is "
                f"not, at the latest in {place}"
                if origin.inside_f
                else f"; going backward the first one arrives at f in {place}"
            )
        yield rule.finding(
            f"{method.name}: {', '.join(bad)} {'is' if len(bad) == 1 else 'are'} not finite{where}",
            "look at f there: sqrt or a norm at zero, 0/0 behind torch.where: "
            + command(report, method="direct"),
            method.name,
            tensors=bad,
            t=origin.t if origin else None,
            step=origin.step if origin else None,
            stage=origin.stage if origin else None,
            inside_f=origin.inside_f if origin else None,
        )


def _bad_tensors(method: MethodRecord) -> list[str]:
    """Parts of the gradient with an entry that is no number."""
    if method.gradient is None:
        return []
    errors = method.errors.continuous or method.errors.discrete if method.errors else None
    parts = {"z0": method.gradient.z0, **method.gradient.params}
    found: list[str] = []
    for name, values in parts.items():
        if values is None:  # too long for JSON: its error tells
            part = errors.by_parameter.get(name) if errors else None
            values = [part.max_abs] if part else []
        if not all(math.isfinite(value) for value in values):
            found.append(name)
    return found


RULE = Rule("ND209", "error", detect)
