"""For test suites: assert that a gradient is right.

The pytest plugin (``pytest_plugin``) lists what these assertions measured at the end of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from node_diag.api import Report
    from node_diag.layout import State
    from node_diag.problem import Dynamics, Loss, Problem
    from node_diag.records import Gate

Measured = dict[str, str]
watchers: list[Callable[[Measured], None]] = []
"""Told of every gate that an assertion decided."""


def assert_gradients_match(
    problem_or_model: Problem | Dynamics,
    z0: State | None = None,
    ts: Sequence[float] | Tensor | None = None,
    loss: Loss | None = None,
    *,
    method: str | Sequence[str] = "aca",
    max_error: float,
    **options: Any,
) -> Report:
    """Fail if a method's gradient is further from the continuous truth than ``max_error``.

    A gradient that cannot be judged (no truth, NaN, an uncertainty above the limit) fails as well.

    Args:
        problem_or_model: a Problem, or f(t, z) together with z0, ts and loss.
        z0: initial state, for a model; see :class:`~node_diag.Problem`.
        ts: t0 and the observation times, for a model.
        loss: of the states at ``ts[1:]``, for a model.
        method: one or several: ``aca``, ``torchdiffeq-adjoint``, ``path/to/file.py:function``, …
        max_error: largest relative error, with its uncertainty, over z0 and all parameters.
        options: of :func:`node_diag.check`: solver, rtol, …

    Returns:
        The report, if all is well.

    Raises:
        AssertionError: it is off; the message names the tensor and the cause.
        UsageError, ProblemError: an option or the problem cannot be used.
    """
    from node_diag.api import check, check_model
    from node_diag.problem import Problem

    __tracebackhide__ = True  # pytest shows the caller
    methods = [method] if isinstance(method, str) else list(method)
    gates = [f"*.grad_error<={float(max_error)!r}", *options.pop("gates", ())]
    if isinstance(problem_or_model, Problem):
        report = check(problem_or_model, methods, gates, **options)
    elif z0 is None or ts is None or loss is None:
        raise TypeError("a model is checked with z0, ts and loss; a Problem has them")
    else:
        report = check_model(
            problem_or_model, z0, ts, loss, methods=methods, gates=gates, **options
        )
    for gate in report.gates:
        for watch in watchers:
            watch(_measured(report, gate))
    if not report.passed:
        raise AssertionError(_message(report))
    return report


def _measured(report: Report, gate: Gate) -> Measured:
    from node_diag.outputs.numbers import scientific, uncertain

    value = "unknown" if gate.value is None else uncertain(gate.value, gate.uncertainty)
    return {
        "problem": report.problem.name,
        "method": gate.method,
        "error": value,
        "limit": scientific(gate.limit),
        "verdict": gate.verdict,
    }


def _message(report: Report) -> str:
    """Which method, by how much, in which tensor, why, and what to do."""
    lines: list[str] = []
    for gate in report.gates:
        if gate.verdict == "pass":
            continue
        one = _measured(report, gate)
        failure = next((m.failure for m in report.methods if m.name == gate.method), None)
        if failure:
            lines.append(f"{report.problem.name}: {gate.method} gave no gradient: {failure}")
            continue
        off = (
            "cannot be held against a truth" if gate.value is None else f"is off by {one['error']}"
        )
        lines.append(
            f"{report.problem.name}: the gradient of {gate.method} {off}, allowed are "
            f"{one['limit']} ({gate.verdict})"
        )
        lines += [f"  {line}" for line in _tensors(report, gate.method)]
    serious = [finding for finding in report.findings if finding.severity != "info"]
    for finding in serious or report.findings:
        lines += [f"{finding.code} {finding.message}", f"  {finding.advice}"]
    return "\n".join(lines)


MOST_NAMED = 5


def _tensors(report: Report, name: str) -> list[str]:
    """Errors of the tensors, the worst first; times are no part of what is judged."""
    from node_diag.diagnosis.metrics import TIMES
    from node_diag.outputs.numbers import uncertain

    method = next((m for m in report.methods if m.name == name), None)
    error = method.errors.continuous if method and method.errors else None
    if error is None:
        return []
    tensors = {n: p for n, p in error.by_parameter.items() if n not in TIMES}
    parts = {n: p for n, p in tensors.items() if p.relative_l2 is not None}
    worst = sorted(parts, key=lambda n: -(parts[n].relative_l2 or 0.0))[:MOST_NAMED]
    return [f"{n}: off by {uncertain(parts[n].relative_l2, parts[n].uncertainty)}" for n in worst]
