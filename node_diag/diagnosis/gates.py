"""Gates: limits on metrics of methods, and the rule by which they pass."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from node_diag.config import CheckConfig, option_text
from node_diag.config_sources import is_given
from node_diag.diagnosis.gate_metrics import METRICS, bad_times
from node_diag.diagnosis.metrics import NOTICEABLE
from node_diag.errors import UnmatchedGateError, UsageError
from node_diag.records import Gate, MethodRecord, Verdict
from node_diag.registry import METHODS, suggest

_EXPRESSION = re.compile(r"^\s*([\w*-]+)\.(\w+)\s*<=\s*(\S+)\s*$")
OTHER_TRUTH = {"grad_error": "grad_error_discrete", "grad_error_discrete": "grad_error"}


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
    found = _parsed(config, sources)
    is_narrowed = is_given(sources.get("methods", ""))
    for spec in found:
        if spec.method in ("*", *config.labels) or (is_narrowed and not is_given(spec.source)):
            continue
        raise UnmatchedGateError(
            f"the gate {spec.expression} (from {spec.source.removeprefix('flag ')}) is on "
            f"{spec.method}, which is not run: add it to the methods "
            f"({','.join([*config.methods, spec.method])}), or drop the gate"
        )
    return found


def _parsed(config: CheckConfig, sources: Mapping[str, str]) -> list[GateSpec]:
    limits = [
        parse_max_grad_error(text, sources.get("max_grad_error", "max_grad_error"), config.labels)
        for text in config.max_grad_error
    ]
    source = sources.get("gates", "gates")
    return limits + [parse_gate(text, source, config.labels) for text in config.gates]


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


def target_error(config: CheckConfig) -> float:
    """Gradient error that a recommended setting has to meet.

    Without ``--target-error`` a hundred times rtol, but no more than a gradient may be off that is
    called right; or the tightest gate on gradient errors where that is smaller.
    """
    if config.target_error is not None:
        return config.target_error
    limits = [g.limit for g in _parsed(config, {}) if g.metric == "grad_error" and g.limit > 0]
    return min([100 * config.rtol, NOTICEABLE, *limits])


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
    reason = _reason(spec, method, value, uncertainty, verdict)
    if value is not None and math.isnan(value) and (bad := bad_times(method)):
        reason += f": its derivative in {bad[0]} is not finite"
    return _gate(spec, method.name, value, uncertainty, verdict, reason)


def _reason(
    spec: GateSpec,
    method: MethodRecord,
    value: float | None,
    uncertainty: float,
    verdict: Verdict,
) -> str:
    if value is None:
        return _missing(spec.metric, method)
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


def _missing(metric: str, method: MethodRecord) -> str:
    """Why a metric has no value, and which one has."""
    instead = OTHER_TRUTH.get(metric)
    if instead is None:
        return f"there is no {metric}: what it is measured by is missing"
    known = METRICS[instead](method)[0] is not None
    hint = f"; {method.name}.{instead} has a value" if known else ""
    return f"there is no {metric}: its reference is missing{hint}"


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
