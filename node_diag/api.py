"""The Python API: solve, gradient and check on a Problem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from node_diag import records
from node_diag.config import resolve
from node_diag.errors import UsageError
from node_diag.field import Field, validate
from node_diag.gradients.base import MethodRun, run
from node_diag.gradients.lookup import method_of
from node_diag.outputs.base import write
from node_diag.pipeline import Request, run_check
from node_diag.preparation import make_setup
from node_diag.problem import Problem
from node_diag.registry import METHODS
from node_diag.solvers.integrate import integrate
from node_diag.solvers.solution import Solution


class Report(records.Report):
    """A finished check: all fields of report.json, ``passed``, ``to_json()``, ``write(folder)``."""

    def write(self, folder: str | Path, *, force: bool = False) -> Path:
        """Write the report folder and return its path.

        Raises:
            UsageError: the folder exists (and force is off), or cannot be written.
        """
        target = Path(folder)
        write(self, target, self.config.report, force=force)
        return target


def _setup(problem: Problem, solver: str, options: dict[str, Any]):  # noqa: ANN202
    flags = {"solver": solver, **options}
    return make_setup(problem, resolve(flags, {}, None).config)


def solve(
    problem: Problem, solver: str = "dopri5", rtol: float = 1e-5, atol: float = 1e-5, **options: Any
) -> Solution:
    """Solve forward, in the problem's own precision and on its device.

    Returns:
        Solution with .ts, .zs (K, D), .nfe, .n_accepted, .n_rejected.

    Raises:
        SolveError: the solve ended without an answer.
        UsageError, ProblemError: an option or the problem cannot be used.
    """
    validate(problem)
    setup = _setup(problem, solver, {"rtol": rtol, "atol": atol, **options})
    f = Field(problem)
    solution = integrate(f, problem.flat_z0(), problem.ts, setup.forward)
    solution.nfe = f.nfe
    return solution


def gradient(
    problem: Problem,
    method: str = "aca",
    solver: str = "dopri5",
    rtol: float = 1e-5,
    atol: float = 1e-5,
    **options: Any,
) -> MethodRun:
    """Gradient of the problem's loss by one method.

    Returns:
        MethodRun with .loss, .gradient.z0 (D,), .gradient.params[name], .gradient.ts, .nfe_forward,
        .nfe_backward.

    Raises:
        SolveError: a solve ended without an answer.
        UsageError, ProblemError: an option or the problem cannot be used.
    """
    validate(problem)
    setup = _setup(problem, solver, {"rtol": rtol, "atol": atol, **options})
    name = METHODS.canonical(method)
    return run(METHODS.label(name), method_of(name), problem, setup)


def check(
    problem: Problem,
    methods: Sequence[str] = ("adjoint", "aca", "naive"),
    gates: Sequence[str] = (),
    **options: Any,
) -> Report:
    """Everything ``node-diag check`` does, on a Problem, without writing anything.

    Args:
        problem: left as it is; checked in ``dtype`` (default: its own).
        methods: gradient methods by name.
        gates: ``'METHOD.METRIC<=VALUE'``.
        options: as on the command line, with underscores: solver, rtol, atol, max_grad_error, …

    Raises:
        UsageError, ProblemError: an option or the problem cannot be used.
    """
    own = {"dtype": str(problem.dtype).removeprefix("torch."), "device": str(problem.device)}
    flags: dict[str, Any] = {**own, "methods": methods, "gates": gates, **options}
    if isinstance(flags.get("max_grad_error"), str | float | int):
        flags["max_grad_error"] = [str(flags["max_grad_error"])]
    for name in ("methods", "gates"):
        if isinstance(flags[name], str):
            flags[name] = [flags[name]]
    for name in ("baseline", "max_slowdown", "ignore_config", "timeout"):
        if name in flags:
            raise UsageError(f"{name} is for the command only: check(...) writes and ends nothing")
    resolved = resolve(flags, {}, None)
    request = Request(problem, resolved.config, problem.name, sources=resolved.sources)
    with torch.random.fork_rng():  # the caller's random numbers go on as if nothing had happened
        torch.manual_seed(resolved.config.seed)
        plain = run_check(request)
    fields = {name: getattr(plain, name) for name in records.Report.model_fields}
    report = Report.model_construct(**fields)
    report.arrays.update(plain.arrays)
    return report
