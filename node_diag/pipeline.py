"""The check itself: solve, gradients, references, measurements, diagnosis → Report."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from node_diag import causes, inspections, parallel, timing
from node_diag.assembly import Request, assemble
from node_diag.config import CheckConfig
from node_diag.diagnosis.gates import gate_specs
from node_diag.errors import ProblemError, SolveError, UsageError, said
from node_diag.field import Field
from node_diag.garbage import uncollected
from node_diag.gradients.base import Setup
from node_diag.gradients.lookup import UserMethod, description_of, method_of
from node_diag.gradients.peers.base import LibraryMethod
from node_diag.inspection import repeatability
from node_diag.measure.counting import count
from node_diag.measure.trajectory import deviation
from node_diag.outcomes import Outcome
from node_diag.preparation import impatient, make_setup, prepare
from node_diag.problem import Problem
from node_diag.records import Recommendation, Repeatability, Report
from node_diag.references.base import Point, Reference
from node_diag.references.second_order import second_order
from node_diag.registry import METHODS
from node_diag.solvers.integrate import integrate
from node_diag.solvers.solution import Solution
from node_diag.truths import Truth, Truths, reference_tasks, steps_truth, trusted

__all__ = ["Request", "run_check"]

Progress = Callable[[str], None]
EVALUATIONS, HARMLESS = 100, 2**29
"""Evaluations of f in a check, over those of one solve; bytes that may wait for the collector."""
NOISY = (
    "f gives another value each time it is evaluated, which no step size resolves, so the forward "
    "solve was given up at t = {t:.6g} (ND401): call .eval() on the module, or draw its random "
    "numbers once for each solve; fixed steps get through (--solver rk4)"
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
    gate_specs(config, request.sources)  # raises what is misspelt before the work begins
    setup = make_setup(problem, config)
    outcomes = [
        Outcome(METHODS.label(name), description_of(name), method_of(name))
        for name in config.methods
    ]
    for outcome in outcomes:
        if isinstance(outcome.method, LibraryMethod):
            outcome.method.refuse(setup.forward)
    progress("looking at f")
    repeats = repeatability.inspect(problem)
    progress("forward solve")
    if not repeats.all_repeats(config.dtype):
        setup = impatient(setup)
    solution, nfe = _forward(problem, setup, repeats)
    small = _is_small(problem, nfe)
    tasks = _first_look(problem, setup, config, outcomes, (solution, repeats))
    with uncollected(if_small=small):
        done = parallel.compute(tasks, progress, meanwhile)
    loaded = {outcome.name: outcome.method for outcome in outcomes}
    outcomes = [done[f"{name}: gradient and counts"] for name in loaded]
    for outcome in outcomes:  # a forked child sends its method back as a copy
        outcome.method = loaded[outcome.name]
        outcome.second_order = done.get(f"{outcome.name}: second order")
    truths = Truths(*(done[f"{name} reference"] for name in Truths.__annotations__))
    inspection = inspections.record(problem, done, _doubts(truths.continuous), repeats)
    truths.continuous = trusted(truths.continuous, inspection)
    with uncollected(if_small=small):
        recommended = _second_look(problem, setup, config, outcomes, truths, solution, progress)
    progress("report")
    forward = (solution, nfe)
    return assemble(request, problem, setup, forward, outcomes, truths, inspection, recommended)


def _first_look(
    problem: Problem,
    setup: Setup,
    config: CheckConfig,
    outcomes: list[Outcome],
    forward: tuple[Solution, Repeatability],
) -> dict[str, Callable[[], Any]]:
    """Gradients, references and inspections, by name."""
    solution, repeats = forward
    references = reference_tasks(problem, setup, solution, config, repeats)
    runs: dict[str, Callable[[], Any]] = {
        f"{o.name}: gradient and counts": partial(
            _run_method, o, problem, setup, solution, repeats=repeats.all_repeats(config.dtype)
        )
        for o in outcomes
    }
    # The longest first, which is how two processes end at the same time.
    first = "continuous reference"
    tasks = {
        first: references[first],
        **runs,
        **references,
        **inspections.tasks(problem, setup, solution, noisy=not repeats.f_repeats(config.dtype)),
    }
    if config.order == 2 and repeats.all_repeats(config.dtype):
        precise = problem.to(torch.float64, torch.device("cpu"))
        tasks |= {
            f"{o.name}: second order": partial(
                second_order, o.method, precise, setup, solution.grid
            )
            for o in outcomes
        }
    return tasks


def _second_look(
    problem: Problem,
    setup: Setup,
    config: CheckConfig,
    outcomes: list[Outcome],
    truths: Truths,
    solution: Solution,
    progress: Progress,
) -> Recommendation | None:
    """Causes, times and the recommendation; the outcomes are told theirs."""
    again, searching = causes.tasks(problem, setup, config, outcomes, truths, solution)
    times = {timing.NAME: partial(timing.time, outcomes, problem, setup, config.repeat)}
    if timing.leaves_a_core(problem):
        done = parallel.compute({**times, **again}, progress)
    else:
        done = parallel.compute(again, progress)
        progress(timing.NAME)
        done |= {name: measure() for name, measure in times.items()}
    timing.record(done[timing.NAME], outcomes)
    return causes.record(done, searching, outcomes)


def _is_small(problem: Problem, nfe: int) -> bool:
    """Whether all that f makes in a check may stay in memory."""
    n_params = sum(p.numel() for p in problem.params.values())
    return EVALUATIONS * nfe * 8 * (problem.layout.numel + n_params) < HARMLESS


def _forward(problem: Problem, setup: Setup, repeats: Repeatability) -> tuple[Solution, int]:
    f = Field(problem)
    try:
        solution = integrate(f, problem.flat_z0(), problem.ts, setup.forward)
    except SolveError as error:
        if not repeats.all_repeats(str(problem.dtype).removeprefix("torch.")):
            raise ProblemError(NOISY.format(t=error.t)) from error
        raise ProblemError(
            f"the forward solve failed ({error.reason}): {error}{error.hint}"
        ) from error
    with torch.no_grad():
        loss = float(problem.loss_of(solution.zs))
    if not math.isfinite(loss):
        raise ProblemError(f"the loss of the solved states is {loss}, so it has no gradient")
    return solution, f.nfe


def continuous_truth(problem: Problem, config: CheckConfig) -> Truth:
    """The continuous truth of a problem as a check would trust it, or why there is none.

    Args:
        problem: as :func:`.preparation.prepare` gives it.
        config: of the forward solve along which f is looked at.
    """
    repeats = repeatability.inspect(problem)
    setup = make_setup(problem, config)
    if not repeats.all_repeats(config.dtype):
        setup = impatient(setup)
    solution, _ = _forward(problem, setup, repeats)
    noisy = not repeats.f_repeats(config.dtype)
    truth = reference_tasks(problem, setup, solution, config, repeats)["continuous reference"]()
    looks = inspections.tasks(problem, setup, solution, noisy=noisy)
    done = {name: look() for name, look in looks.items()}
    return trusted(truth, inspections.record(problem, done, _doubts(truth), repeats))


def _doubts(truth: Truth) -> list[Point]:
    return truth.suspects if isinstance(truth, Reference) else []


def _run_method(
    outcome: Outcome, problem: Problem, setup: Setup, solution: Solution, *, repeats: bool
) -> Outcome:
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
    if isinstance(outcome.method, LibraryMethod) and outcome.method.discrete and repeats:
        outcome.own_truth = steps_truth(outcome.method, outcome.run.solution, problem, setup)
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
        tableau, atol = setup.forward.tableau, setup.backward.atol
        outcome.deviation = deviation(problem, tableau, solution, path, atol)
