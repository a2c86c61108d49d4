"""A check held against an earlier one: what got worse, better, went away or cannot be told.

The rules for single numbers stand in ``regression``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from node_diag.config import CheckConfig, option_text
from node_diag.diagnosis.gate_metrics import METRICS
from node_diag.diagnosis.regression import (
    Judged,
    judge_count,
    judge_distance,
    judge_error,
    judge_time,
)
from node_diag.records import Change, Comparison, ConfigRecord, Gate, MethodRecord, Report

SETTINGS = (
    *("solver", "rtol", "atol", "adjoint_rtol", "adjoint_atol", "step_size", "max_steps"),
    *("max_step", "control"),
    *("reference", "order", "dtype", "device", "seed"),
)
"""Options that must agree for two checks to be comparable."""
EXACT = (
    *("nfe_forward", "nfe_backward", "n_steps_backward"),
    *("saved_bytes", "peak_bytes", "graph_depth"),
)
DISTANCES = ("reconstruction_error", "initial_error")
TIMES = ("forward_s", "backward_s")
"""Of METRICS; what is in none of these three is an error with an uncertainty."""

FAILING = ("worse", "inconclusive", "missing")
Value = tuple[float | None, float]


def differences(
    base: ConfigRecord, config: CheckConfig | ConfigRecord, overrides: Mapping[str, Any]
) -> list[str]:
    """Settings that are not those of the baseline: ``rtol 1e-5 there, 1e-6 here``."""
    there = {name: getattr(base, name) for name in SETTINGS}
    here = {name: getattr(config, name) for name in SETTINGS}
    for name in dict.fromkeys([*base.overrides, *overrides]):
        there[f"--set {name}"] = base.overrides.get(name)
        here[f"--set {name}"] = overrides.get(name)
    return [
        f"{name} {_setting(there[name])} there, {_setting(here[name])} here"
        for name in there
        if not _equal(there[name], here[name])
    ]


def _equal(a: Any, b: Any) -> bool:
    """Whether two settings are the same; JSON has made lists of tuples."""
    return (list(a) if isinstance(a, tuple) else a) == (list(b) if isinstance(b, tuple) else b)


def _setting(value: Any) -> str:
    return "default" if value is None else option_text(value)


def compare(
    base: Report,
    new: Report,
    *,
    baseline: str,
    max_slowdown: float | None = None,
    notes: list[str] | None = None,
) -> Comparison:
    """Every number of the baseline beside the same number of the new check.

    Args:
        base: the earlier check.
        new: the check to judge.
        baseline: what the earlier one was called on the command line.
        max_slowdown: largest ratio of times that passes; None: times are only reported.
        notes: differences of settings that are to be ignored.
    """
    changes = [*_problem(base, new), *_solve(base, new)]
    names = {method.name: method for method in new.methods}
    for old in base.methods:
        changes += _method(old, names.get(old.name), max_slowdown)
    known = {method.name for method in base.methods}
    changes += [
        _change(m.name, "status", None, m.status, Judged("new", "not in the baseline"))
        for m in new.methods
        if m.name not in known
    ]
    changes += _gates(base.gates, new.gates)
    return Comparison(
        baseline=baseline,
        created=base.created,
        changes=changes,
        notes=[*(notes or []), *_environment(base, new)],
        failed=sum(change.fails for change in changes),
    )


def unknown(baseline: str, name: str) -> Comparison:
    """The comparison of a problem that the baseline does not have."""
    reason = Judged("new", f"the baseline has no problem '{name}'")
    change = _change(None, "problem", None, name, reason)
    return Comparison(baseline=baseline, created=None, changes=[change], failed=0)


def _change(
    method: str | None,
    metric: str,
    base: Any,
    new: Any,
    judged: Judged,
    bars: tuple[float | None, float | None] = (None, None),
) -> Change:
    return Change(
        method=method,
        metric=metric,
        base=base,
        base_uncertainty=bars[0],
        new=new,
        new_uncertainty=bars[1],
        verdict=judged.verdict,
        fails=judged.verdict in FAILING,
        reason=judged.reason,
    )


def _problem(base: Report, new: Report) -> list[Change]:
    """The problem itself: nothing compares with those of another one."""
    facts: dict[str, tuple[Any, Any]] = {
        "problem": (base.problem.name, new.problem.name),
        "states": (base.problem.n_state, new.problem.n_state),
        "parameters": (base.problem.n_params, new.problem.n_params),
        "times": (_times(base), _times(new)),
    }
    return [
        _change(None, name, old, now, Judged("worse", f"the problem has changed: {old} → {now}"))
        for name, (old, now) in facts.items()
        if old != now
    ]


def _times(report: Report) -> str:
    ts = report.problem.ts
    return f"{len(ts)} in [{report.problem.t0!r}, {report.problem.t1!r}]"


def _solve(base: Report, new: Report) -> list[Change]:
    names = ("n_accepted", "n_rejected")
    return [
        _change(None, name, a, b, judge_count(a, b))
        for name in names
        for a, b in [(getattr(base.solution, name), getattr(new.solution, name))]
    ]


def _method(old: MethodRecord, new: MethodRecord | None, limit: float | None) -> list[Change]:
    if new is None:
        judged = Judged("missing", "the baseline has this method, the new check does not")
        return [_change(old.name, "status", old.status, None, judged)]
    status = _change(old.name, "status", old.status, new.status, _status(old, new))
    if "failed" in (old.status, new.status):  # which has no numbers
        return [status]
    metrics = [name for name in METRICS if name not in TIMES]
    return [status, *(_metric(name, old, new) for name in metrics), *_time(old, new, limit)]


def _status(old: MethodRecord, new: MethodRecord) -> Judged:
    if old.status == new.status:
        return Judged("same", "")
    if new.status == "failed":
        return Judged("worse", f"it worked, and now it failed: {new.failure}")
    return Judged("better", f"it had failed: {old.failure}")


def _metric(name: str, old: MethodRecord, new: MethodRecord) -> Change:
    base, now = METRICS[name](old), METRICS[name](new)
    judged = _presence(base, now)
    if judged is None and _is_relative(name, old) != _is_relative(name, new):
        word = "relative" if _is_relative(name, old) else "absolute"
        judged = Judged("missing", f"the {word} error is gone, so there is nothing to compare")
    if judged is None:
        judged = _judge(name, base, now)
    exact = name in EXACT or name in DISTANCES
    bars = (None, None) if exact else (_bar(base), _bar(now))
    return _change(old.name, name, base[0], now[0], judged, bars)


def _bar(value: Value) -> float | None:
    return None if value[0] is None else value[1]


def _is_relative(name: str, method: MethodRecord) -> bool:
    """Whether an error is relative; it is absolute where the reference is zero."""
    errors = method.errors
    record = {
        "grad_error": errors.continuous if errors else None,
        "grad_error_discrete": errors.discrete if errors else None,
        "times_error": errors.continuous.times if errors and errors.continuous else None,
        "hvp_error": method.second_order.error if method.second_order else None,
    }.get(name)
    return record is None or record.relative_l2 is not None


def _presence(base: Value, new: Value) -> Judged | None:
    """The verdict where one of the two is no number; None where both are."""
    had, has = _is_number(base), _is_number(new)
    if had and not has:
        what = "null" if new[0] is None else "NaN"
        return Judged("missing", f"the baseline has a number, and now it is {what}")
    if not had:
        return Judged("new", "the baseline has no number") if has else Judged("same", "")
    return None


def _is_number(value: Value) -> bool:
    return value[0] is not None and not math.isnan(value[0])


def _judge(name: str, base: Value, new: Value) -> Judged:
    (a, u), (b, v) = base, new
    if a is None or b is None:
        return Judged("same", "")
    if name in EXACT:
        return judge_count(a, b)
    return judge_distance(a, b) if name in DISTANCES else judge_error(a, u, b, v)


def _time(old: MethodRecord, new: MethodRecord, limit: float | None) -> list[Change]:
    """Both passes together, since that is what the spread is of."""
    if old.cost is None or new.cost is None:
        return []
    a, b = (cost.forward_s + cost.backward_s for cost in (old.cost, new.cost))
    u, v = (c.spread_s if c.repeats > 1 else math.inf for c in (old.cost, new.cost))
    bars = tuple(bar if math.isfinite(bar) else None for bar in (u, v))
    return [_change(old.name, "time_s", a, b, judge_time(a, u, b, v, limit), (bars[0], bars[1]))]


def _gates(base: list[Gate], new: list[Gate]) -> list[Change]:
    """Gates by what they limit: another limit for the same number is still that gate."""
    now, changes = _worst(new), list[Change]()
    for (method, metric), old in _worst(base).items():
        verdict = now.get((method, metric))
        name = f"{metric} gate"
        changes.append(_change(method, name, old, verdict, _gate(old, verdict)))
    return changes


def _worst(gates: list[Gate]) -> dict[tuple[str, str], str]:
    rank = ("pass", "info", "inconclusive", "fail")
    found: dict[tuple[str, str], str] = {}
    for gate in gates:
        key = (gate.method, gate.metric)
        found[key] = max(found.get(key, "pass"), gate.verdict, key=rank.index)
    return found


def _gate(old: str, new: str | None) -> Judged:
    if new is None:
        return Judged("missing", "the baseline has this gate, the new check does not")
    if old == "pass" and new != "pass":
        return Judged("worse", "it passed")
    return Judged("better", "it did not pass") if old != "pass" == new else Judged("same", "")


def _environment(base: Report, new: Report) -> list[str]:
    """Other versions may move bytes, depths and last digits; the reader should know."""
    facts = {
        "node-diag": (base.tool.version, new.tool.version),
        **{
            name: (getattr(base.environment, name), getattr(new.environment, name))
            for name in ("python", "torch", "platform", "threads")
        },
    }
    return [f"{name} {old} there, {now} here" for name, (old, now) in facts.items() if old != now]
