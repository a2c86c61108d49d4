"""One tensor of a gradient is wrong, and the norm over all of them hides it.

A bias whose gradient is a thousandth of a weight's may be off by half without moving the error of
the whole. An optimiser that scales every parameter by itself (Adam) trains on it all the same.

Detected: a parameter or z0 is off by more than 10 % of its own true gradient, which is known to
10 % or better, while the whole is off by less; and by more than 1e-5 of the whole. Where the
derivative of the accepted steps is off as much, it is discretisation, which every method that
differentiates them has. Of a function of your own, which nothing else holds against a truth tensor
by tensor, from 1 % on, if that derivative is ten times as right. And dL/dts of a method that does
not differentiate the steps, where they themselves are right about it.

What to do: a tolerance that is tight enough for the small tensor, or a loss in which it counts. A
method of your own: look at its formula for that tensor. A limit on METHOD.worst_tensor_error gates
on it.
"""

from collections.abc import Iterable, Mapping

from node_diag.diagnosis.again import command
from node_diag.diagnosis.metrics import NOTICEABLE, WRONG, hidden, is_wrong
from node_diag.diagnosis.precision import by_autocast
from node_diag.diagnosis.rule import Rule, is_own, known, off_truth
from node_diag.diagnosis.rules.nd201_misses_discrete_truth import is_blamed
from node_diag.records import ErrorRecord, Finding, MethodRecord, ParameterError, Report

ALIKE = 2.0
"""An error up to so many times that of the accepted steps is theirs."""
CLEARLY = 0.1
"""The error of the accepted steps in a tensor, relative to that of a function which is to blame."""
FINER = 0.01
"""Tolerances that are advised, relative to those there are."""


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for the steps, and one for each method that has another reason."""
    apart = report.references.distance
    steps = hidden(apart)
    if apart is not None and steps:
        yield rule.finding(
            f"the derivative of the accepted steps is wrong in {_named(steps)} of its own size, "
            f"though the whole is off by {known(apart.relative_l2, None)} only: these steps are "
            "too long for it, whatever differentiates them",
            f"make the steps smaller: {_finer(report)}",
            None,
            methods=[m.name for m in report.methods if _shares(m, steps)],
            by_tensor=_sizes(steps),
            whole=apart.relative_l2,
        )
    for method in report.methods:
        if is_blamed(report, method) or by_autocast(method):
            continue  # ND201 names the tensors, ND206 the cause
        record = method.errors.continuous if method.errors else None
        found = hidden(record)
        if is_own(report, method):
            found = _alone(record, apart) | found
        if record is not None and record.times is not None and _in_times(method, apart):
            found["dL/dts"] = record.times
        own = {
            name: part for name, part in found.items() if not _explained(method, name, part, steps)
        }
        if record is not None and own:
            yield rule.finding(
                f"{method.name}: it is {_word(own)} in {_named(own)} of its own size, though the "
                f"whole is off by {off_truth(method)} only",
                _advice(report, method),
                method.name,
                by_tensor=_sizes(own),
                whole=record.relative_l2,
            )


def _alone(record: ErrorRecord | None, apart: ErrorRecord | None) -> dict[str, ParameterError]:
    """Tensors in which a function is off and the accepted steps are not."""
    off = hidden(record, NOTICEABLE)
    theirs = apart.by_parameter if apart else {}
    return {
        name: part
        for name, part in off.items()
        if name in theirs
        and (theirs[name].relative_l2 or 0.0) < CLEARLY * (part.relative_l2 or 0.0)
    }


def _in_times(method: MethodRecord, apart: ErrorRecord | None) -> bool:
    """Whether dL/dts alone is wrong; of methods that differentiate the steps ND201 says so."""
    record = method.errors.continuous if method.errors else None
    if method.discrete or record is None or not (record.relative_l2 or 0.0) <= WRONG:
        return False
    return is_wrong(record.times) and not is_wrong(apart.times if apart else None)


def _shares(method: MethodRecord, steps: Mapping[str, ParameterError]) -> bool:
    found = hidden(method.errors.continuous if method.errors else None)
    return any(_explained(method, name, part, steps) for name, part in found.items())


def _explained(
    method: MethodRecord, name: str, part: ParameterError, steps: Mapping[str, ParameterError]
) -> bool:
    """Whether it is the error of the steps, or one that ND201 names."""
    if method.constant_steps and method.errors and method.errors.discrete:
        return True
    theirs = steps[name].relative_l2 if name in steps and method.discrete else None
    return theirs is not None and (part.relative_l2 or 0.0) <= ALIKE * theirs


def _word(parts: Mapping[str, ParameterError]) -> str:
    """As the verdict on a method has it: a function's tensor is named from 1 % on."""
    return "wrong" if any(is_wrong(part) for part in parts.values()) else "off"


def _named(parts: Mapping[str, ParameterError]) -> str:
    """The worst with its error, and how many more there are."""
    worst, *others = parts
    more = f" (and in {len(others)} more)" if others else ""
    return f"{worst}{more} by {known(parts[worst].relative_l2, parts[worst].uncertainty)}"


def _sizes(parts: Mapping[str, ParameterError]) -> dict[str, float | None]:
    return {name: part.relative_l2 for name, part in parts.items()}


def _finer(report: Report) -> str:
    if report.config.step_size is not None:
        return command(report, step_size=0.1 * report.config.step_size)
    return command(report, rtol=FINER * report.config.rtol, atol=FINER * report.config.atol)


def _advice(report: Report, method: MethodRecord) -> str:
    if method.name == "adjoint":
        config = report.config
        tighter = {
            "adjoint_rtol": FINER * (config.adjoint_rtol or config.rtol),
            "adjoint_atol": FINER * (config.adjoint_atol or config.atol),
        }
        return "tighten the tolerances of its backward solve: " + command(
            report, method="adjoint", **tighter
        )
    if is_own(report, method):
        return "look at its formula for that; what it should be is found by " + command(
            report, method=f"aca,{method.name}"
        )
    return "compare with a method that holds the steps constant: " + command(
        report, method="aca" if method.name == "aca" else f"aca,{method.name}"
    )


RULE = Rule("ND211", "warning", detect)
