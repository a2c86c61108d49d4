"""Gates: limits on metrics of methods, and the rule by which they pass."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from node_diag.config import CheckConfig, option_text
from node_diag.errors import UnmatchedGateError, UsageError
from node_diag.records import (
    ErrorRecord,
    Gate,
    MethodRecord,
    TimesError,
    Verdict,
    time_name,
)
from node_diag.registry import METHODS, suggest

Value = tuple[float | None, float]
"""A metric's value, None if it does not exist, and its uncertainty."""


Pick = Callable[[MethodRecord], ErrorRecord | TimesError | None]


def _error(pick: Pick) -> Callable[[MethodRecord], Value]:
    def value(method: MethodRecord) -> Value:
        record = pick(method)
        return (_size(record), record.uncertainty or 0.0) if record else (None, 0.0)

    return value


def _gradient(pick: Pick) -> Callable[[MethodRecord], Value]:
    """An error of the gradient: a derivative in a time that is NaN keeps the whole from passing."""
    return lambda method: (
        (math.nan, math.nan) if pick(method) and bad_times(method) else _error(pick)(method)
    )


def _size(record: ErrorRecord | TimesError) -> float | None:
    """Relative, or absolute where the reference is zero."""
    return record.absolute_l2 if record.relative_l2 is None else record.relative_l2


def _continuous(method: MethodRecord) -> ErrorRecord | None:
    return method.errors.continuous if method.errors else None


def _discrete(method: MethodRecord) -> ErrorRecord | None:
    return method.errors.discrete if method.errors else None


def bad_times(method: MethodRecord) -> list[str]:
    """Times in which a gradient is NaN or infinite: ``t0``, ``ts[3]``."""
    values = method.gradient.ts if method.gradient else []
    return [time_name(k, len(values)) for k, x in enumerate(values) if not math.isfinite(x)]


def _times(method: MethodRecord) -> TimesError | None:
    record = _continuous(method)
    return record.times if record else None


def _cost(name: str) -> Callable[[MethodRecord], Value]:
    return lambda method: (getattr(method.cost, name) if method.cost else None, 0.0)


def _reconstruction(name: str) -> Callable[[MethodRecord], Value]:
    return lambda method: (
        getattr(method.reconstruction, name) if method.reconstruction else None,
        0.0,
    )


def _taylor(method: MethodRecord) -> Value:
    """The worst of its lines."""
    worst = max(method.taylor, key=lambda test: test.odd_part, default=None)
    return (worst.odd_part, worst.uncertainty or 0.0) if worst else (None, 0.0)


METRICS: dict[str, Callable[[MethodRecord], Value]] = {
    "grad_error": _gradient(_continuous),
    "grad_error_discrete": _gradient(_discrete),
    "times_error": _gradient(_times),
    "taylor_error": _taylor,
    "hvp_error": _error(lambda m: m.second_order.error if m.second_order else None),
    "reconstruction_error": _reconstruction("max_error"),
    "initial_error": _reconstruction("initial_error"),
    **{
        name: _cost(name)
        for name in (
            "nfe_forward",
            "nfe_backward",
            "n_steps_backward",
            "saved_bytes",
            "peak_bytes",
            "graph_depth",
            "forward_s",
            "backward_s",
        )
    },
}
"""What a gate may limit. grad_error is the relative L2 error against the continuous truth over z0
and all parameters, times_error that of dL/dts,
taylor_error the odd part of the Taylor test, against the discrete one, and hvp_error that of
Hessian-vector products against differences of the method's own gradient (--order 2)."""

_EXPRESSION = re.compile(r"^\s*([\w*-]+)\.(\w+)\s*<=\s*(\S+)\s*$")


@dataclass(frozen=True)
class GateSpec:
    """A limit that was asked for: ``METHOD.METRIC<=limit``; METHOD ``*`` stands for all."""

    method: str
    metric: str
    limit: float
    source: str

    @property
    def expression(self) -> str:
        """The gate as ``--gate`` takes it."""
        return f"{self.method}.{self.metric}<={option_text(self.limit)}"


def gate_specs(config: CheckConfig, sources: Mapping[str, str]) -> list[GateSpec]:
    """The limits that were asked for, and where each came from.

    Raises:
        UsageError: one is misspelt.
        UnmatchedGateError: one is on a method that is not run. Who names methods by a flag may
            leave out some that configured gates are on: those stay undecided.
    """
    limits = [
        parse_max_grad_error(text, sources.get("max_grad_error", "max_grad_error"), config.labels)
        for text in config.max_grad_error
    ]
    source = sources.get("gates", "gates")
    found = limits + [parse_gate(text, source, config.labels) for text in config.gates]
    is_narrowed = _is_flag(sources.get("methods", ""))
    for spec in found:
        if spec.method in ("*", *config.labels) or (is_narrowed and not _is_flag(spec.source)):
            continue
        raise UnmatchedGateError(
            f"the gate {spec.expression} (from {spec.source.removeprefix('flag ')}) is on "
            f"{spec.method}, which is not run: add it to the methods "
            f"({','.join([*config.methods, spec.method])}), or drop the gate"
        )
    return found


def _is_flag(source: str) -> bool:
    return source.startswith("flag ")


def parse_gate(text: str, source: str, own: Collection[str] = ()) -> GateSpec:
    """``'aca.grad_error<=1e-3'`` → GateSpec.

    Args:
        text: the expression.
        source: where it was asked for.
        own: names of methods from the user's files.

    Raises:
        UsageError: the text is no such expression, or the method or metric does not exist.
    """
    match = _EXPRESSION.match(text)
    if not match:
        raise UsageError(
            f"gate '{text}' is not of the form 'METHOD.METRIC<=VALUE', as in 'aca.grad_error<=1e-3'"
        )
    method, metric, limit = match.groups()
    if metric not in METRICS:
        raise UsageError(
            f"unknown metric '{metric}' in gate '{text}'{suggest(metric, list(METRICS))} "
            f"There are: {', '.join(METRICS)}."
        )
    return GateSpec(_method(method, own), metric, _limit(limit, text), source)


def parse_max_grad_error(text: str, source: str, own: Collection[str] = ()) -> GateSpec:
    """``'1e-3'`` (all methods) or ``'aca=1e-3'`` → GateSpec; see :func:`parse_gate`.

    Raises:
        UsageError: no number, or no such method.
    """
    method, separator, limit = text.rpartition("=")
    method = _method(method.strip(), own) if separator else "*"
    return GateSpec(method, "grad_error", _limit(limit, text), source)


def _method(name: str, own: Collection[str]) -> str:
    return name if name == "*" or name in own else METHODS.canonical(name)


def _limit(text: str, whole: str) -> float:
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit) or limit < 0:
        raise UsageError(f"the limit in '{whole}' is not a finite number of at least 0")
    return limit


def judge(value: float | None, uncertainty: float, limit: float) -> Verdict:
    """Pass if e + u ≤ τ, fail if e − u > τ, else inconclusive. NaN and nothing never pass."""
    if value is None or math.isnan(value) or math.isnan(uncertainty):
        return "inconclusive"
    if value + uncertainty <= limit:
        return "pass"
    return "fail" if value - uncertainty > limit else "inconclusive"


def evaluate(spec: GateSpec, methods: list[MethodRecord]) -> list[Gate]:
    """One judged gate for every method it applies to; an unmatched gate is inconclusive."""
    matching = [m for m in methods if spec.method in ("*", m.name)]
    if not matching:
        return [_gate(spec, spec.method, None, None, "inconclusive", f"{spec.method} was not run")]
    return [_judged(spec, method) for method in matching]


def _judged(spec: GateSpec, method: MethodRecord) -> Gate:
    if method.status == "failed":
        return _gate(
            spec, method.name, None, None, "fail", f"{method.name} failed: {method.failure}"
        )
    value, uncertainty = METRICS[spec.metric](method)
    verdict = judge(value, uncertainty, spec.limit)
    reason = _reason(spec, value, uncertainty, verdict)
    if value is not None and math.isnan(value) and (bad := bad_times(method)):
        reason += f": its derivative in {bad[0]} is not finite"
    return _gate(spec, method.name, value, uncertainty, verdict, reason)


def _reason(spec: GateSpec, value: float | None, uncertainty: float, verdict: Verdict) -> str:
    if value is None:
        return f"there is no {spec.metric}: its reference is missing"
    if math.isnan(value):
        return f"{spec.metric} is NaN"
    if verdict == "inconclusive":
        return (
            f"{value:.2e} ± {uncertainty:.1e} straddles {option_text(spec.limit)}: the limit is "
            "within the uncertainty of the reference"
        )
    if verdict == "fail":
        return f"{value:.2e} ± {uncertainty:.1e} is above {option_text(spec.limit)}"
    return ""


def _gate(
    spec: GateSpec,
    method: str,
    value: float | None,
    uncertainty: float | None,
    verdict: Verdict,
    reason: str,
) -> Gate:
    return Gate(
        expression=f"{method}.{spec.metric}<={option_text(spec.limit)}",
        method=method,
        metric=spec.metric,
        value=value,
        uncertainty=uncertainty,
        limit=spec.limit,
        verdict=verdict,
        source=spec.source,
        reason=reason,
    )
