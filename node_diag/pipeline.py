"""The check itself: solve, gradients, references, measurements, diagnosis → Report."""

from __future__ import annotations

import gc
import math
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from node_diag import causes, parallel
from node_diag.assembly import Outcome, Request, assemble, gate_specs
from node_diag.config import CheckConfig
from node_diag.errors import ProblemError, SolveError, UsageError, said
from node_diag.field import Field, validate
from node_diag.gradients.base import Setup
from node_diag.gradients.lookup import UserMethod, description_of, method_of
from node_diag.inspection import (
    coupling,
    dependence,
    derivatives,
    repeatability,
    stability,
    switches,
)
from node_diag.measure.clock import time_runs
from node_diag.measure.counting import count
from node_diag.measure.trajectory import deviation
from node_diag.problem import Problem
from node_diag.records import Inspection, Repeatability, Report
from node_diag.references.second_order import second_order
from node_diag.registry import METHODS, SOLVERS
from node_diag.solvers.controller import largest_rms
from node_diag.solvers.integrate import integrate
from node_diag.solvers.solution import Settings, Solution
from node_diag.truths import Truths, reference_tasks, repeatable, trusted

__all__ = ["Request", "gate_specs", "run_check"]

Progress = Callable[[str], None]
EVALUATIONS, HARMLESS = 100, 2**29
"""Evaluations of f in a check, over those of one solve; bytes that may wait for the collector."""
NOISY_STEPS = 2_000
"""Trials after which a solve of an f with random numbers in it is given up."""
NOISY = (
    "; f gives another value each time it is evaluated, which no step size resolves: call .eval() "
    "on the module, or draw its random numbers once for each solve"
)
NOT_FOR_THE_USER = (
    "Converting a tensor with requires_grad=True to a scalar",  # our t requires grad, not theirs
    "There is a performance drop because we have not yet implemented the batching rule",
    "The .grad attribute of a Tensor that is not a leaf Tensor",
)
"""torch's warnings about what we do with f."""


@torch.enable_grad()  # whatever the caller or the module have switched off
def run_check(
    request: Request,
    progress: Progress = lambda _: None,
    meanwhile: Callable[[], None] = lambda: None,
) -> Report:
    """Run every stage of a check.

    A method that fails becomes a failed row; what cannot be run at all raises.

    Args:
        request: what to check.
        progress: told each stage.
        meanwhile: an import, say, to do while another process computes.

    Raises:
        ProblemError: f or the loss cannot be used, or the forward solve failed.
        UsageError: an option does not fit the problem.
    """
    with warnings.catch_warnings():
        for noise in NOT_FOR_THE_USER:
            warnings.filterwarnings("ignore", message=noise)
        return _run_check(request, progress, meanwhile)


def _run_check(request: Request, progress: Progress, meanwhile: Callable[[], None]) -> Report:
    config = request.config
    progress("loading the problem")
    problem = prepare(request.problem, config)
    if config.reference == "exact" and problem.exact is None:
        raise UsageError(f"problem '{problem.name}' has no closed form; use --reference auto")
    gate_specs(config, request.sources)  # what is misspelt is told before the work
    setup = make_setup(problem, config)
    methods = {METHODS.label(name): name for name in config.methods}
    loaded = {label: method_of(name) for label, name in methods.items()}
    progress("looking at f")
    repeats = repeatability.inspect(problem)
    progress("forward solve")
    if not repeatable(repeats, config.dtype):
        setup = _impatient(setup)
    solution, nfe = _forward(problem, setup, repeats)
    references = reference_tasks(problem, setup, solution, config, repeats)
    runs: dict[str, Callable[[], Any]] = {
        f"{label}: gradient and counts": partial(
            _run_method,
            Outcome(label, description_of(methods[label]), method),
            problem,
            setup,
            solution,
        )
        for label, method in loaded.items()
    }
    # The longest first, which is how two processes end at the same time.
    first = "continuous reference"
    tasks = {
        first: references[first],
        **runs,
        **references,
        **_inspection_tasks(problem, setup, solution),
    }
    if config.order == 2 and repeatable(repeats, config.dtype):
        precise = problem.to(torch.float64, torch.device("cpu"))
        tasks |= {
            f"{label}: second order": partial(second_order, method, precise, setup, solution.grid)
            for label, method in loaded.items()
        }
    with _little_collected(problem, nfe):
        done = parallel.compute(tasks, progress, meanwhile)
    outcomes = [done[f"{label}: gradient and counts"] for label in loaded]
    for outcome in outcomes:  # a forked child sends its method back as a copy
        outcome.method = loaded[outcome.name]
        outcome.second_order = done.get(f"{outcome.name}: second order")
    truths = Truths(*(done[f"{name} reference"] for name in Truths.__annotations__))
    inspection = Inspection(
        repeatability=repeats,
        # Differences of a rounded f are none.
        derivatives=[] if repeats.single_precision else done["derivatives of f"],
        switches=done["kinks of f"],
        stability=done["growth along the trajectory"],
        dependence=done["what f depends on"],
        coupling=done["steps of the batch"],
    )
    truths.continuous = trusted(truths.continuous, inspection)
    again, searching = causes.tasks(problem, setup, config, outcomes, truths)
    with _little_collected(problem, nfe):
        recommended = causes.record(parallel.compute(again, progress), searching, outcomes)
    for outcome in outcomes:  # alone on the machine, as far as that is up to us
        _time(outcome, problem, setup, config.repeat, progress)
    progress("report")
    forward = (solution, nfe)
    return assemble(request, problem, setup, forward, outcomes, truths, inspection, recommended)


@contextmanager
def _little_collected(problem: Problem, nfe: int) -> Generator[None]:
    """No search for reference cycles meanwhile, if all that f makes is small even if it were kept.

    Graphs are many small objects, and every search walks them: a twentieth of a check.
    """
    n_params = sum(p.numel() for p in problem.params.values())
    small = EVALUATIONS * nfe * 8 * (problem.layout.numel + n_params) < HARMLESS
    was_enabled = gc.isenabled()
    if small:
        gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def prepare(problem: Problem, config: CheckConfig) -> Problem:
    """The problem in the precision and on the device asked for, checked once.

    Raises:
        UsageError: there is no such device.
        ProblemError: the problem cannot be used so.
    """
    try:
        device = torch.device(config.device)
        float(torch.zeros((), device=device))
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"device '{config.device}' is not to be had here: {reason}") from error
    # A module's buffers may change as it is evaluated: those of a copy.
    mine = isinstance(problem.func, torch.nn.Module)
    moved = problem.to(getattr(torch, config.dtype), device, copy=mine)
    validate(moved)
    return moved


def make_setup(problem: Problem, config: CheckConfig) -> Setup:
    """Solver settings of the forward pass and of a reverse-time backward pass.

    Raises:
        UsageError: --step-size with an adaptive solver, or --control and --max-step with a fixed
            one.
    """
    tableau = SOLVERS.load(config.solver)
    if config.step_size is not None and tableau.adaptive:
        raise UsageError(
            f"--step-size is for fixed-step solvers; {config.solver} chooses its own (use --rtol "
            "or --max-step)"
        )
    if not tableau.adaptive and (config.control != "state" or config.max_step is not None):
        raise UsageError(
            f"--control and --max-step are for adaptive solvers; {config.solver} takes the steps "
            "it is given (use --step-size)"
        )
    n_params = sum(p.numel() for p in problem.params.values())
    blocks = [problem.layout.numel, problem.layout.numel, n_params]
    shared: dict[str, Any] = {
        "step_size": config.step_size,
        "max_step": config.max_step,
        "max_steps": config.max_steps,
    }
    forward = Settings(tableau, config.rtol, config.atol, **shared, control=config.control)
    backward = Settings(
        tableau, config.adjoint_rtol, config.adjoint_atol, **shared, norm=largest_rms(blocks)
    )
    return Setup(forward, backward, record=True)


def _impatient(setup: Setup) -> Setup:
    """Fewer steps for an f that is never the same: its noise keeps the error control busy."""
    few = min(setup.forward.max_steps, NOISY_STEPS)
    return replace(
        setup,
        forward=replace(setup.forward, max_steps=few),
        backward=replace(setup.backward, max_steps=few),
    )


def _forward(problem: Problem, setup: Setup, repeats: Repeatability) -> tuple[Solution, int]:
    f = Field(problem)
    try:
        solution = integrate(f, problem.flat_z0(), problem.ts, setup.forward)
    except SolveError as error:
        cause = "" if repeatable(repeats, str(problem.dtype).removeprefix("torch.")) else NOISY
        raise ProblemError(f"the forward solve failed ({error.reason}): {error}{cause}") from error
    with torch.no_grad():
        loss = float(problem.loss_of(solution.zs))
    if not math.isfinite(loss):
        raise ProblemError(f"the loss of the solved states is {loss}, so it has no gradient")
    return solution, f.nfe


def _inspection_tasks(
    problem: Problem, setup: Setup, solution: Solution
) -> dict[str, Callable[[], Any]]:
    """Looking at f along the forward trajectory; what f raises there the solve would have met."""
    precise = problem.to(torch.float64, torch.device("cpu"))
    return {
        "derivatives of f": lambda: derivatives.inspect(precise, solution),
        "kinks of f": lambda: switches.inspect(problem, setup.forward.tableau, solution),
        "growth along the trajectory": partial(_look, stability.inspect, precise, setup, solution),
        "what f depends on": partial(_look, dependence.inspect, precise, solution),
        "steps of the batch": partial(_look, coupling.inspect, problem, setup.forward, solution),
    }


def _look(inspect: Callable[..., Any], *arguments: Any) -> Any:
    """What an inspection finds; None of an f that autograd cannot go through."""
    try:
        return inspect(*arguments)
    except ProblemError:
        return None


def _run_method(outcome: Outcome, problem: Problem, setup: Setup, solution: Solution) -> Outcome:
    if isinstance(outcome.method, UserMethod):  # whatever it does to the module, it does to its own
        problem = problem.to(problem.dtype, problem.device, copy=True)
    try:
        outcome.run, outcome.counts = count(outcome.name, outcome.method, problem, setup)
    except SolveError as error:
        outcome.failure = f"{error.reason}: {error}"
        _follow(outcome, problem, setup, solution, error.reconstruction)
        return outcome
    except ProblemError as error:
        outcome.failure = str(error)
        return outcome
    except Exception as error:
        if not isinstance(outcome.method, UserMethod):
            raise
        outcome.failure = f"what it returned cannot be used: {said(error)}"
        return outcome
    _follow(outcome, problem, setup, solution, outcome.run.backward.reconstruction)
    return outcome


def _follow(
    outcome: Outcome,
    problem: Problem,
    setup: Setup,
    solution: Solution,
    path: list[tuple[float, list[float]]],
) -> None:
    """How far a reverse-time solve, or what there was of it, is from the forward trajectory."""
    if path:
        outcome.deviation = deviation(problem, setup.forward.tableau, solution, path)


def _time(
    outcome: Outcome, problem: Problem, setup: Setup, repeats: int | None, progress: Progress
) -> None:
    if outcome.run is None:
        return
    progress(f"{outcome.name}: timing")
    plain = Setup(setup.forward, setup.backward)
    if isinstance(outcome.method, UserMethod):
        problem = problem.to(problem.dtype, problem.device, copy=True)
    outcome.times = time_runs(outcome.name, outcome.method, problem, plain, repeats)
