"""Both truths of a check, or the sentence that says why one is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from node_diag.config import CheckConfig
from node_diag.errors import MaxStepsError, NoReferenceError, ProblemError, SolveError
from node_diag.field import Field
from node_diag.gradients.base import Setup
from node_diag.gradients.peers.base import LibraryMethod
from node_diag.problem import Problem
from node_diag.records import Inspection, Repeatability, Switch
from node_diag.references.base import Reference, flat_inputs, slices
from node_diag.references.exact import confirmed, exact_reference, held_against
from node_diag.references.finite_difference import (
    frozen_reference,
    steps_reference,
    unfrozen_reference,
)
from node_diag.solvers.integrate import integrate
from node_diag.solvers.solution import Solution

Truth = Reference | NoReferenceError
"""A reference, or why there is none."""
MOST_UNFROZEN, LONGEST_UNFROZEN = 8, 30_000
"""Inputs and evaluations of f up to which plain differences through the adaptive solve are shown:
two solves for each input."""
MOST_REPLAYED = 20_000
"""Evaluations of f in the steps of a library, which are taken again by its own code."""
MANY, MORE = 100, 4
"""Trials that each of them may take: so many, and so many times those of the check."""


@dataclass
class Truths:
    """The two references and what is shown beside them; a sentence where one is missing."""

    continuous: Truth
    discrete: Truth
    unfrozen: Truth


def reference_tasks(
    problem: Problem,
    setup: Setup,
    solution: Solution,
    config: CheckConfig,
    repeats: Repeatability,
) -> dict[str, Callable[[], Truth]]:
    """References are computed in float64 on the CPU, at the parameters as they are."""
    if not repeats.all_repeats(config.dtype):
        what = "the loss" if repeats.f_repeats(config.dtype) else "f"
        none = NoReferenceError(
            f"{what} gives another value each time it is evaluated, so there is no gradient to know"
        )
        return {f"{name} reference": lambda: none for name in Truths.__annotations__}
    if what := repeats.rounded:
        rounded = NoReferenceError(
            f"{what} computes in float32 or less where the state is float64: its values have seven "
            "digits at most, and neither differences nor a solve at a tight tolerance see through "
            f"the rounding; remove the cast (.float(), .half(), a float32 tensor) inside {what}"
        )
        return {f"{name} reference": lambda: rounded for name in Truths.__annotations__}
    precise = problem.to(torch.float64, torch.device("cpu"))
    tableau = setup.forward.tableau
    nfe = len(solution.grid.h) * tableau.stages
    return {
        "continuous reference": lambda: _try(lambda: _continuous(precise, config.reference)),
        "discrete reference": lambda: _try(
            lambda: frozen_reference(precise, tableau, solution.grid)
        ),
        "unfrozen reference": lambda: _try(lambda: _unfrozen(problem, setup, solution, nfe)),
    }


def steps_truth(method: LibraryMethod, solution: Solution, problem: Problem, setup: Setup) -> Truth:
    """The derivative of the steps a library accepted."""
    precise = problem.to(torch.float64, torch.device("cpu"))
    steps = method.steps(Field(precise), solution, setup)
    if steps is None:
        return NoReferenceError(f"{method.library} did not tell which steps it took")
    if steps.evaluations > MOST_REPLAYED:
        return NoReferenceError(
            f"{method.library} took {solution.n_accepted} steps, too many to take them again for "
            "every input"
        )
    return _try(lambda: steps_reference(precise, steps))


def _try(compute: Callable[[], Reference]) -> Truth:
    try:
        return compute()
    except NoReferenceError as error:
        return error
    except (ProblemError, SolveError) as error:
        return NoReferenceError(str(error))


def _continuous(problem: Problem, kind: str) -> Reference:
    if kind == "fd":
        raise NoReferenceError("only finite differences were asked for (--reference fd)")
    from node_diag.references.sensitivity import sensitivity_reference  # imports scipy

    if problem.exact is None or kind == "sensitivity":
        return sensitivity_reference(problem)
    closed_form = exact_reference(problem)
    try:
        other = sensitivity_reference(problem)
    except (NoReferenceError, ProblemError):
        return confirmed(problem, closed_form)
    return held_against(problem, closed_form, other, keep=kind == "exact")


def _unfrozen(problem: Problem, setup: Setup, solution: Solution, nfe: int) -> Reference:
    base = flat_inputs(problem)
    parts = slices(problem)
    inputs = parts["ts"].start
    if inputs > MOST_UNFROZEN or 2 * inputs * nfe > LONGEST_UNFROZEN:
        raise NoReferenceError(
            f"{inputs} inputs would take {2 * inputs} adaptive solves of {nfe} evaluations or more"
        )
    mine = problem.to(problem.dtype, problem.device, copy=True)  # parameters to move about
    f = Field(mine)
    like = mine.flat_z0()
    # A perturbation of a millionth that takes many more steps than none is another problem.
    most = MANY + MORE * (solution.n_accepted + solution.n_rejected)
    forward = replace(setup.forward, max_steps=min(setup.forward.max_steps, most))

    def loss(inputs: np.ndarray) -> float:
        for name, p in mine.params.items():
            p.copy_(torch.as_tensor(inputs[parts[f"params.{name}"]]).reshape(p.shape))
        z0 = torch.as_tensor(inputs[parts["z0"]]).to(like)
        try:
            moved = integrate(f, z0, problem.ts, forward, keep=False)
        except MaxStepsError as error:
            raise NoReferenceError(
                "plain differences move an input so far that the solve takes more than "
                f"{forward.max_steps} trials"
            ) from error
        return float(mine.loss_of(moved.zs))

    with torch.no_grad():
        middle = float(problem.loss_of(solution.zs))
        return unfrozen_reference(base, loss, middle, columns=range(parts["ts"].start))


def trusted(truth: Truth, inspection: Inspection) -> Truth:
    """The continuous truth, unless what f is like takes away what it rests on."""
    if isinstance(truth, NoReferenceError):
        return truth
    reason = _refusal(inspection, exact=truth.kind == "exact")
    return NoReferenceError(reason) if reason else truth


def _refusal(inspection: Inspection, *, exact: bool) -> str:
    """Why it cannot be trusted; a closed form needs no derivative of f, but that of the loss."""
    for wrong in inspection.derivatives:
        if exact and wrong.function == "f":
            continue
        if wrong.input == "t":  # neither z0 nor the parameters are reached through the time
            continue
        return (
            f"autograd does not give the derivative of {wrong.function} in {wrong.input}: along a "
            f"random line it says {wrong.autograd:.6g}, differences say {wrong.differences:.6g}"
        )
    for kink in inspection.on_kinks:
        if not (exact and kink.function == "f"):
            below, above = kink.slopes
            return (
                f"{kink.function} has a kink in {kink.input} just where the trajectory is: along "
                f"a random line its slope is {below:.6g} on one side and {above:.6g} on the "
                "other, so there is no gradient"
            )
    return "" if exact else next(filter(None, map(_jumps, inspection.switches)), "")


def _jumps(switch: Switch) -> str:
    """Why a jump leaves no truth by the sensitivity equations; empty if it does."""
    at = switch.times[0] if switch.moved_at is None else switch.moved_at
    jumps = f"f jumps by {switch.jump:.1e} (relative) at t = {at:.6g}"
    if switch.by_parameter:
        return (
            f"{jumps}, a time that the parameter {switch.by_parameter} decides; autograd leaves "
            "out what moving the jump does"
        )
    if switch.in_state:
        return (
            f"{jumps}, when the state crosses a {switch.operation}; the sensitivities jump there "
            "too, which autograd does not know"
        )
    if switch.unjudged:
        return (
            f"{jumps} and at many other times, of which those in {switch.unjudged} intervals were "
            "not looked into: the state or a parameter may decide them, and autograd would leave "
            "out what that does"
        )
    return ""
