"""A method misses the derivative of its own accepted steps.

aca and direct claim to differentiate the numbers the solver returned, and so does a method from
your own file; frozen-grid differences measure that derivative without using any derivative of f.
Missing it is an error in the implementation, or in a backward formula inside f.

Detected: error against the discrete reference above 1e-6 (in float32 above 1e-3, or what the flow
makes of a rounding in each step if that is more; where f computes in fewer digits, under autocast,
ten roundings of theirs or three times what node-diag's own methods are off by, which is ND206's)
and above ten times its uncertainty, for
methods with constant step sizes: over z0 and all parameters, or in one tensor beside its own
gradient, however little of the whole that is. In the times it must also be above ten times what
discretisation does to the gradient, since how they move the steps is a convention. And a method of
any kind that is off by more than 1 % from the continuous truth, and more than twice as far as the
accepted steps are, where neither a reverse-time state nor step-size terms account for it. What all
methods share because autograd is wrong about f is ND205's. Of a library,
less than 1 % in every tensor is a warning.

What to do: look at the tensor that is named. If several methods miss, check the custom backward
passes in f; if only your own method does, its formula for that tensor; else report a bug.
"""

import math
from collections.abc import Iterable

from node_diag.diagnosis.accepted_steps import Steps, accepted_steps, by_step_sizes, elsewhere
from node_diag.diagnosis.again import command, show
from node_diag.diagnosis.gate_metrics import bad_times
from node_diag.diagnosis.metrics import NOTICEABLE, TIMES
from node_diag.diagnosis.precision import EPS, by_autocast, narrow_type
from node_diag.diagnosis.rule import Rule, continuous, discrete, judged, off_truth
from node_diag.records import (
    ErrorRecord,
    Finding,
    MethodRecord,
    ParameterError,
    ReferenceRecord,
    Report,
    Severity,
    TimesError,
)
from node_diag.registry import METHODS

ALONE = 1e-3
"""Part of the worst tensor's error below which the others' are called right."""
ROUND_OFF = {"float64": 1e-6, "float32": 1e-3}
TURNED = 1e-2
"""How far minus a gradient may be from the true one to be called that."""
NARROW = 10
"""Roundings in a gradient of an f that computes in fewer digits than its state has."""
ALIKE = 3.0
"""How much further off than our own methods one may be that differentiates the same rounded f."""
UNKNOWN = 1e-2
"""Discretisation error that is allowed for where there is no continuous truth to measure it."""


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each method that is not the derivative of the accepted steps."""
    steps = accepted_steps(report)
    for method in report.methods:
        if _unaccounted(report, method, steps):
            yield rule.finding(
                f"{method.name}: off by {off_truth(method)} from the continuous truth, while the "
                f"accepted steps are off by {steps} only: the method itself is wrong"
                f"{_where(report, method, _beyond(method, steps))}",
                _advice(report, method),
                method.name,
                continuous_error=continuous(method),
                by_tensor=_beyond(method, steps),
                error_of_accepted_steps=steps.off if steps else None,
            )
            continue
        record = method.errors.discrete if method.errors else None
        if not method.constant_steps or record is None or _shared(report, method):
            continue
        known = f"(known to {record.uncertainty or 0.0:.1e})"
        off = _off(report, record)
        times = record.times if _sees_time(report) else None
        if off or _is_missed(report, record):
            found = rule.finding(
                f"{method.name}: off by {record.judged:.1e} from the derivative of its own "
                f"accepted steps {known}{_where(report, method, off)}",
                _advice(report, method),
                method.name,
                discrete_error=judged(record),
                uncertainty=record.uncertainty,
                by_tensor=off,
            )
            yield found.model_copy(update={"severity": _severity(method, record, off)})
        elif times is not None and _is_missed_in_times(report, times):
            yield rule.finding(
                f"{method.name}: its dL/dts is off by {times.judged:.1e} from the "
                f"derivative of its own accepted steps, worst in {times.worst}; "
                f"z0 and the parameters are right {known}",
                _advice(report, method),
                method.name,
                times_error=judged(times),
                uncertainty=times.uncertainty,
                worst=times.worst,
            )


def _severity(method: MethodRecord, record: ErrorRecord, off: dict[str, float]) -> Severity:
    """A library that misses its own steps by little, in every tensor, gives no wrong gradient."""
    small = all(error <= NOTICEABLE for error in (record.judged, *off.values()))
    return "warning" if method.own_steps is not None and small else "error"


def _beyond(method: MethodRecord, steps: Steps | None) -> dict[str, float]:
    """Error of each tensor that is further from the continuous truth than the steps, worst first.

    Of those that are hardly off beside the worst one nothing is said.
    """
    record = method.errors.continuous if method.errors else None
    if record is None:
        return {}
    least = max(NOTICEABLE, 2 * steps.off if steps else 0.0)
    off = {
        name: part.relative_l2
        for name, part in record.by_parameter.items()
        if name not in TIMES
        and part.relative_l2 is not None
        # A NaN is further off than any number.
        and not part.relative_l2 - (part.uncertainty or 0.0) <= least
    }
    worst = sorted(off, key=lambda name: off[name], reverse=True)
    return {name: off[name] for name in worst if not off[name] <= ALONE * off[worst[0]]}


def _sees_time(report: Report) -> bool:
    """Whether autograd sees how f depends on t; if not, no dL/dts is right (ND207)."""
    derivatives = report.inspection.derivatives if report.inspection else []
    return all(wrong.input != "t" for wrong in derivatives)


def misses(report: Report, method: MethodRecord) -> bool:
    """Whether a method that holds its steps constant is not their derivative."""
    record = method.errors.discrete if method.errors else None
    if not method.constant_steps or record is None:
        return False
    return bool(_off(report, record)) or _is_missed(report, record)


def is_blamed(report: Report, method: MethodRecord) -> bool:
    """Whether a method itself is called wrong by the continuous truth, with its tensors."""
    return _unaccounted(report, method, accepted_steps(report))


def _unaccounted(report: Report, method: MethodRecord, steps: Steps | None) -> bool:
    """Whether a method is wrong where neither its steps, nor its state, nor rounding say why."""
    path = method.reconstruction
    narrow = narrow_type(report) and (continuous(method) or 0.0) <= _round_off(report)
    if narrow or by_autocast(method):
        return False
    if steps is None or not elsewhere(method, steps) or (path is not None and path.measured):
        return False
    if method.constant_steps and discrete(method) is not None and not steps.witness:
        return False  # judged by the discrete truth
    return not by_step_sizes(report, method)


def _shared(report: Report, method: MethodRecord) -> bool:
    """Whether it is no more than what autograd gets wrong in f or the loss (ND205), for all."""
    inspection, error = report.inspection, discrete(method)
    if inspection is None or all(wrong.input == "t" for wrong in inspection.derivatives):
        return False
    ours = [e for m in report.methods if _ours(m) and (e := discrete(m)) is not None]
    return _ours(method) or any(error is not None and abs(error - e) <= ALONE * e for e in ours)


def _ours(method: MethodRecord) -> bool:
    return method.constant_steps and method.own_steps is None and method.name in METHODS.names()


def _round_off(report: Report) -> float:
    """Relative error of a gradient that rounding explains.

    In float32 every step rounds the state, and the flow magnifies that as it does any perturbation,
    beside the state itself. Roundings are independent of each other: √N of them. The truth, which
    is computed in float64, does not see them; those of float64 are in its own uncertainty.
    """
    usual, narrow = ROUND_OFF[report.config.dtype], narrow_type(report)
    epsilon = EPS[narrow or "float32"]
    if narrow is not None:
        ours = [e for m in report.methods if _ours(m) and (e := discrete(m)) is not None]
        usual = max(NARROW * epsilon, ALIKE * min(ours, default=0.0))
    stability = report.inspection.stability if report.inspection else None
    if report.config.dtype != "float32" or stability is None:
        return usual
    growth, lowest = 0.0, math.inf
    for size_now in stability.log10_growth:
        lowest = min(lowest, size_now)
        growth = max(growth, size_now - lowest)
    growth -= max(0.0, stability.log10_state_growth)
    steps = report.solution.n_accepted
    return max(usual, epsilon * math.sqrt(steps) * 10 ** min(max(growth, 0.0), 300.0))


def _is_missed(report: Report, record: ErrorRecord) -> bool:
    """Over z0 and all parameters."""
    error = judged(record) or 0.0
    return error > _round_off(report) and error > 10 * (record.uncertainty or 0.0)


def _is_missed_in_times(report: Report, times: TimesError) -> bool:
    limits = (_round_off(report), 10 * (times.uncertainty or 0.0))
    return (judged(times) or 0.0) > max(*limits, 10 * _discretisation(report))


def _discretisation(report: Report) -> float:
    """What the steps do to the gradient, in the times or in all else, whichever is more."""
    apart = report.references.distance
    if apart is None:
        return UNKNOWN
    return max(judged(apart) or 0.0, judged(apart.times) or 0.0)


def _off(report: Report, record: ErrorRecord) -> dict[str, float]:
    """Relative error of each tensor that is off, the worst first."""
    limit = _round_off(report)
    off = {
        name: part.relative_l2
        for name, part in record.by_parameter.items()
        if name not in TIMES
        and part.relative_l2 is not None
        and part.relative_l2 > max(limit, 10 * (part.uncertainty or 0.0))
        and not _is_rounding(report, part)
    }
    worst = sorted(off, key=lambda name: off[name], reverse=True)
    return {name: off[name] for name in worst if off[name] > ALONE * off[worst[0]]}


def _is_rounding(report: Report, part: ParameterError) -> bool:
    """Whether float32 alone makes that much, beside the whole gradient, of a small tensor.

    In float64 the truth's own noise, which is in its uncertainty, is rounding as well.
    """
    truth = report.references.discrete
    if report.config.dtype != "float32" or not isinstance(truth, ReferenceRecord):
        return False
    return (part.absolute_l2 or 0.0) <= _round_off(report) * truth.norm


def _where(report: Report, method: MethodRecord, off: dict[str, float]) -> str:
    if not off:
        return ""
    worst = next(iter(off))
    which = "all of it" if len(off) == 1 else "worst"
    turned = [name for name in off if _has_the_other_sign(report, method, name)]
    sign = f"; the sign is the other one in {', '.join(turned)}" if turned else ""
    return f"; {which} in {worst}, which is off by {off[worst]:.1e}{sign}"


def _has_the_other_sign(report: Report, method: MethodRecord, name: str) -> bool:
    """Whether a tensor's gradient is minus the true one."""
    truth = report.references.discrete
    if not isinstance(truth, ReferenceRecord) or method.gradient is None:
        truth = report.references.continuous
    if not isinstance(truth, ReferenceRecord) or method.gradient is None:
        return False
    key = name.removeprefix("params.")
    mine, right = method.gradient.tensors().get(key), truth.gradient.tensors().get(key)
    if not mine or not right:
        return False
    apart = math.hypot(*(a + b for a, b in zip(mine, right, strict=True)))
    return apart <= TURNED * math.hypot(*right)


def _advice(report: Report, method: MethodRecord) -> str:
    """A comparison with a method that has not run yet, else a gate to mend it against."""
    run = {m.name: m for m in report.methods}
    right = [n for n, m in run.items() if n != method.name and _is_right(report, m)]
    if right:
        claims = discrete(method) is not None and method.constant_steps
        metric = "grad_error_discrete" if claims else "grad_error"
        limit = ROUND_OFF[report.config.dtype] if claims else NOTICEABLE
        if method.own_steps is not None:
            return f"train with {right[0]}, which is right on its steps: " + command(
                report, method=right[0]
            )
        where = " on the same steps" if claims else ""
        gate = f"{method.name}.{metric}<={limit:g}"
        return f"{right[0]} is right{where}, so mend it by that until it passes: " + command(
            report, method=f"{right[0]},{method.name}", gates=[gate]
        )
    if method.own_steps is not None:
        return "compare it with one that is right on its steps: " + command(
            report, method=f"aca,{method.name}"
        )
    absent = next((name for name in ("aca", "direct") if name not in run), None)
    if method.name not in METHODS.names() and absent:
        return f"see whether {absent} is right on the same steps: " + command(
            report, method=f"{absent},{method.name}"
        )
    return (
        "look for a wrong backward formula inside f (torch.autograd.gradcheck names it), or a kink "
        f"of f on the trajectory; the problem is shown by {show(report)}"
    )


def _is_right(report: Report, method: MethodRecord) -> bool:
    record = method.errors.discrete if method.errors else None
    if not method.constant_steps or record is None or bad_times(method):
        return False
    if record.times is not None and _is_missed_in_times(report, record.times):
        return False
    error = judged(record)
    return error is not None and error < _round_off(report) and not _off(report, record)


RULE = Rule("ND201", "error", detect)
