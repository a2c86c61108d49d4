"""A gradient contains NaN or infinity although the loss is finite.

Something is differentiated where it has no derivative: sqrt or a norm at zero, 0/0 hidden by
torch.where, an overflow inside f's derivative, or (naive) the power law of the step controller at
an error of zero. One NaN in one entry makes every parameter of an optimiser NaN after one step.

A derivative in a time only that has no truth either (√t at t0 = 0, on the accepted steps) is a
warning: it does no harm to who does not train times.

Detected: an entry of a method's gradient, dL/dts included, is not finite, or a reverse-time solve
ended without one. The derivative of the loss, and that of f at every evaluation the backward pass
came through, are then taken by themselves: if all are finite, it is the method that makes the NaN.

Where a reverse-time state exploded and took the gradient with it, that is ND101's.

What to do: look at f at that time; torch.autograd.set_detect_anomaly names the operation.
"""

import math
from collections.abc import Iterable

from node_diag.diagnosis.again import command, show
from node_diag.diagnosis.gate_metrics import bad_times
from node_diag.diagnosis.reverse_time import outcome
from node_diag.diagnosis.rule import Rule, continuous, is_own
from node_diag.records import Finding, MethodRecord, MissingReference, NanOrigin, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each cause: methods that f or the loss makes the same NaN for share one."""
    shared: dict[tuple[object, ...], list[MethodRecord]] = {}
    for method in report.methods:
        times, origin = bad_times(method), method.nan_origin
        bad = [*_bad_tensors(method), *times]
        if not bad and (origin is None or method.status != "failed"):
            continue
        inherited = origin is not None and origin.source != "method"
        if not inherited and continuous(method) is not None and outcome(method) == "exploded":
            continue  # it went with the reverse-time state, which is ND101's
        cause = (
            (origin.source, bool(bad) and bad == times) if origin and inherited else (method.name,)
        )
        shared.setdefault(cause, []).append(method)
    for methods in shared.values():
        yield _finding(rule, report, methods)


def _finding(rule: Rule, report: Report, methods: list[MethodRecord]) -> Finding:
    """What is said of methods whose NaN has one cause; where it arises, of the first of them."""
    bad_of = {m.name: [*_bad_tensors(m), *bad_times(m)] for m in methods}
    having = [m for m in methods if bad_of[m.name]]
    method, names = (having or methods)[0], list(bad_of)
    bad, origin = bad_of[method.name], method.nan_origin
    what = f"{_some(bad)} {'is' if len(bad) == 1 else 'are'} not finite"
    without = [m.name for m in methods if not bad_of[m.name]]
    if not bad:
        what = f"there is no gradient; {method.failure}"
    elif without:
        what += f", and of {', '.join(without)} there is no gradient at all"
    in_times = bool(bad) and bad == bad_times(method)
    finding = rule.finding(
        f"{', '.join(m.name for m in having or methods)}: {what}"
        f"{'' if in_times else _where(origin)}",
        "look at how it differentiates in the times, and at √t or a norm that is zero there: "
        + command(report, method=f"aca,{method.name}" if method.name != "aca" else "aca")
        if in_times
        else _advice(report, method),
        method.name if len(methods) == 1 else None,
        methods=names,
        tensors=bad,
        t=origin.t if origin else None,
        step=origin.step if origin else None,
        stage=origin.stage if origin else None,
        inside_f=origin.inside_f if origin else None,
        source=origin.source if origin else None,
    )
    harmless = in_times and not any(_known(report, each) for each in methods)
    return finding.model_copy(update={"severity": "warning"}) if harmless else finding


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


def _where(origin: NanOrigin | None) -> str:
    if origin is None:
        return ""
    place = f"stage {origin.stage + 1} of step {origin.step + 1}, at t = {origin.t:.6g}"
    if origin.source == "f":
        return f"; f's own derivative is not finite in {place}"
    if origin.source == "loss":
        return "; the derivative of the loss in the states or parameters is not finite"
    return (
        "; the derivatives of the loss and of f are finite wherever the backward pass came "
        f"through, so the method makes it itself, at the latest in {place}"
    )


def _advice(report: Report, method: MethodRecord) -> str:
    source = method.nan_origin.source if method.nan_origin else None
    if source == "method":
        return "another method has no such part; compare with " + command(
            report, method=method.name if method.name == "direct" else f"direct,{method.name}"
        )
    if source == "loss":
        return (
            "look for sqrt or a norm at zero, or 0/0 behind torch.where in the loss; the problem "
            f"is shown by {show(report)}"
        )
    if source is None and is_own(report, method):  # a function, not looked into
        return "look at how it computes that; what it should be is found by " + command(
            report, method=f"aca,{method.name}"
        )
    return (
        "look at f there: sqrt or a norm at zero, 0/0 behind torch.where; the problem is shown by "
        + show(report)
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
