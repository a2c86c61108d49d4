"""A gradient contains NaN or infinity although the loss is finite.

Something is differentiated where it has no derivative: sqrt or a norm at zero, 0/0 hidden by
torch.where, an overflow inside f's derivative, or (naive) the power law of the step controller at
an error of zero. One NaN in one entry makes every parameter of an optimiser NaN after one step.

A derivative in a time only that has no truth either (√t at t0 = 0, on the accepted steps) is a
warning: it does no harm to who does not train times.

Detected: an entry of a method's gradient, dL/dts included, is not finite. The backward pass is then
run again, and the evaluation of f at which the first such cotangent arrives is noted.

What to do: look at f at that time; torch.autograd.set_detect_anomaly names the operation.
"""

import math
from collections.abc import Iterable

from node_diag.diagnosis.gate_metrics import bad_times
from node_diag.diagnosis.rule import Rule, command
from node_diag.records import Finding, MethodRecord, MissingReference, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each method."""
    for method in report.methods:
        times = bad_times(method)
        bad = [*_bad_tensors(method), *times]
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
        finding = rule.finding(
            f"{method.name}: {_some(bad)} {'is' if len(bad) == 1 else 'are'} not finite{where}",
            "look at how it differentiates in the times, and at √t or a norm that is zero there: "
            + command(report, method=f"aca,{method.name}" if method.name != "aca" else "aca")
            if bad == times
            else "look at f there: sqrt or a norm at zero, 0/0 behind torch.where: "
            + command(report, method="direct"),
            method.name,
            tensors=bad,
            t=origin.t if origin else None,
            step=origin.step if origin else None,
            stage=origin.stage if origin else None,
            inside_f=origin.inside_f if origin else None,
        )
        harmless = bad == times and not _known(report, method)
        yield finding.model_copy(update={"severity": "warning"}) if harmless else finding


def _some(names: list[str]) -> str:
    """The first three."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _known(report: Report, method: MethodRecord) -> bool:
    """Whether the truth of any bad time is a number."""
    which = report.references.discrete if method.discrete else report.references.continuous
    if isinstance(which, MissingReference) or method.gradient is None:
        return True
    pairs = zip(method.gradient.ts, which.gradient.ts, strict=True)
    return any(math.isfinite(truth) for g, truth in pairs if not math.isfinite(g))


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
