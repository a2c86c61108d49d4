"""The Python API: solve, gradient and check on a Problem."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from node_diag import random_numbers, records
from node_diag.capturing.leaves import copy_of, held_by, moments
from node_diag.capturing.problem import problem_of
from node_diag.capturing.watch import Watch, watching
from node_diag.config import TOLERANCES
from node_diag.config_sources import ARGUMENT, resolve
from node_diag.errors import ProblemError, UsageError
from node_diag.field import Field, validate
from node_diag.gradients.base import MethodRun, run
from node_diag.gradients.lookup import method_of
from node_diag.layout import State
from node_diag.outputs.base import write
from node_diag.outputs.notebook import summary_html
from node_diag.outputs.terminal import summary_text
from node_diag.pipeline import Request, run_check
from node_diag.preparation import make_setup
from node_diag.problem import Dynamics, Loss, Problem
from node_diag.reachable.before import untouched
from node_diag.registry import METHODS
from node_diag.solvers.integrate import integrate
from node_diag.solvers.solution import Solution


class Report(records.Report):
    """A finished check: all fields of report.json, ``passed``, ``to_json()``, ``write(folder)``.

    In a notebook it shows its verdict, the methods and the findings; as text, what the command
    prints.
    """

    def __str__(self) -> str:
        """What the command prints, without colours."""
        return summary_text(self)

    def _repr_html_(self) -> str:
        return summary_html(self)

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
    asked = set(options) & set(TOLERANCES)
    brought = {k: v for k, v in problem.settings.items() if not (asked and k in TOLERANCES)}
    flags: dict[str, Any] = {**own, **brought, "methods": methods, "gates": gates, **options}
    if isinstance(flags.get("max_grad_error"), str | float | int):
        flags["max_grad_error"] = [str(flags["max_grad_error"])]
    for name in ("methods", "gates"):
        if isinstance(flags[name], str):
            flags[name] = [flags[name]]
    for name in ("baseline", "max_slowdown", "ignore_config", "timeout"):
        if name in flags:
            raise UsageError(f"{name} is for the command only: check(...) writes and ends nothing")
    resolved = resolve(flags, {}, None, given=ARGUMENT)
    spec = problem.source.removeprefix("built-in ").removesuffix(":problem") or problem.name
    request = Request(problem, resolved.config, spec, problem.overrides, resolved.sources)
    # The caller's random numbers go on as if nothing had happened, and so do the norms in f.
    with untouched(problem.func), random_numbers.kept():
        torch.manual_seed(resolved.config.seed)
        plain = run_check(request)
    fields = {name: getattr(plain, name) for name in records.Report.model_fields}
    report = Report.model_construct(**fields)
    report.arrays.update(plain.arrays)
    return report


def check_model(
    func: Dynamics,
    z0: State,
    ts: Sequence[float] | Tensor,
    loss: Loss,
    *,
    params: Mapping[str, Tensor] | None = None,
    with_z0: bool = False,
    methods: Sequence[str] = ("adjoint", "aca", "naive"),
    gates: Sequence[str] = (),
    **options: Any,
) -> Report:
    """Check the gradient of a model as it is now: its parameters, device and dtype.

    Args:
        func: f(t, z), a module or a function; it is left as it is. What a module holds that was
            computed from other tensors (a context) is a parameter in the report; to a library it
            is none, as in a call without ``adjoint_params``. What was computed from its own
            parameters, once for many calls, is one in the place of those.
        z0: initial state.
        ts: t0 and the times at which the loss looks at the state.
        loss: of the states at ``ts[1:]``.
        params: of a function, the tensors it closes over, by name.
        with_z0: ``loss`` takes the states at all of ``ts``, z0 first, as torchdiffeq returns them;
            what it does with z0 itself is then no part of dL/dz0.
        methods: gradient methods by name.
        gates: ``'METHOD.METRIC<=VALUE'``.
        **options: see :func:`check`.

    Raises:
        UsageError, ProblemError: an option or the model cannot be used.
    """
    contexts: dict[str, Tensor] = {}
    if isinstance(func, torch.nn.Module):
        held = held_by(func, moments(ts), z0, tuple(func.parameters()))
        contexts = held.contexts
        func = copy_of(func, held) if held.all else func
    problem = Problem(
        func,
        z0,
        ts,
        _after_z0(loss, z0) if with_z0 else loss,
        name=type(func).__name__ if isinstance(func, torch.nn.Module) else "model",
        params=params,
    )
    problem.contexts = tuple(contexts)
    return check(problem, methods, gates, **options)


def _after_z0(loss: Loss, z0: State) -> Loss:
    def inner(zs: Any) -> Tensor:
        if isinstance(zs, tuple):
            pairs = zip(zs, z0, strict=True)
            return loss(tuple(torch.cat([first.to(z)[None], z]) for z, first in pairs))
        return loss(torch.cat([torch.as_tensor(z0).to(zs)[None], zs]))

    return inner


class Captured:
    """A call of torchdiffeq that was made inside :func:`capture`."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    @property
    def problem(self) -> Problem:
        """The problem whose gradient the call computed.

        Raises:
            ProblemError: there was no such call, or no gradient arrived at it.
        """
        call = self._watch.call
        if call is None:
            raise ProblemError(
                f"{self._watch.seen} calls of torchdiffeq's odeint or odeint_adjoint were seen, "
                f"and no gradient arrived at any from call {self._watch.number} on; call "
                "loss.backward() inside the with block"
            )
        return problem_of(call, "captured")

    def check(self, methods: Sequence[str] | None = None, **options: Any) -> Report:
        """Check that call: see :func:`check`. By default beside torchdiffeq's backprop and aca."""
        problem = self.problem
        chosen = methods or (problem.call.checked_by, "torchdiffeq", "aca")
        with untouched(problem.call.func):
            return check(problem, chosen, **options)


@contextmanager
def capture(call: int = 1) -> Generator[Captured]:
    """Inside it, calls of torchdiffeq are watched; the first with a gradient is kept.

        with node_diag.capture() as captured:
            train_step()
        captured.check()

    Args:
        call: the first call that is wanted, counting those that can be differentiated.

    Raises:
        UsageError: torchdiffeq is not installed.
    """
    with watching(Watch(number=call)) as watch:
        yield Captured(watch)
