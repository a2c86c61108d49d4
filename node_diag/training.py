"""Train a problem's parameters with one gradient method, with the true gradient beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from node_diag.errors import NoReferenceError, ProblemError, SolveError
from node_diag.field import Field, validate
from node_diag.gradients.base import GradientMethod, MethodRun, Setup, run
from node_diag.norms import norm
from node_diag.problem import Problem
from node_diag.records.training import TrainingRun, TruthPoint
from node_diag.references.base import slices
from node_diag.references.sensitivity import sensitivity_reference
from node_diag.registry import SOLVERS
from node_diag.solvers.integrate import integrate
from node_diag.solvers.solution import Settings

OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
TIGHTER = 1e-4
"""The final loss is of an adaptive solve with so much smaller tolerances, or the floor below."""
FLOOR = 1e-11
MOST_SHOWN = 20
"""Entries of a parameter that are noted down at the end."""

Evaluate = Callable[[Problem], Mapping[str, float]]


@dataclass(frozen=True)
class Schedule:
    """How to train.

    Attributes:
        optimizer: a name in ``OPTIMIZERS``.
        truth_every: steps between two looks at the true gradient; 0: none.
    """

    steps: int
    learning_rate: float
    optimizer: str = "adam"
    truth_every: int = 0


def perturb(problem: Problem, amount: float, seed: int) -> None:
    """Move every parameter by ``amount`` of its root mean square (of 1 if that is zero), in place.

    The same seed moves them the same way, whatever the method.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in problem.params.values():
            noise = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p)
            scale = p.square().mean().sqrt()
            p += amount * noise * (scale if scale > 0 else 1.0)


def fit(
    name: str,
    method: GradientMethod,
    problem: Problem,
    setup: Setup,
    training: Schedule,
    *,
    seed: int = 0,
    evaluate: Evaluate = lambda problem: {},
) -> TrainingRun:
    """Train the problem's parameters in place.

    A solve that fails, or a gradient that is not finite, ends the training and is its result.

    Raises:
        ProblemError: f or the loss raised, or there is nothing to train.
    """
    validate(problem)
    params = list(problem.params.values())
    if not params:
        raise ProblemError("there is nothing to train: the problem has no parameters")
    optimizer = OPTIMIZERS[training.optimizer](params, lr=training.learning_rate)
    found, nfe, seconds = TrainingRun(method=name, seed=seed), 0, 0.0
    for step in range(training.steps):
        try:
            taken = run(name, method, problem, setup)
        except SolveError as error:
            return _ended(found, f"step {step}: {error.reason}: {error}")
        found.losses.append(taken.loss)
        gradient = list(taken.gradient.params.values())
        if training.truth_every and step % training.truth_every == 0:
            _hold_against_truth(found, step, problem, taken)
        if not all(bool(torch.isfinite(g).all()) for g in gradient):
            return _ended(found, f"step {step}: the gradient is not finite")
        start = time.perf_counter()
        for p, g in zip(params, gradient, strict=True):
            p.grad = g
        optimizer.step()
        nfe += taken.nfe_forward + taken.nfe_backward
        seconds += taken.forward_s + taken.backward_s + time.perf_counter() - start
        found.nfe.append(nfe)
        found.seconds.append(seconds)
    try:
        found.final_loss = _accurate_loss(problem, setup)
        found.metrics = dict(evaluate(problem))
    except SolveError as error:
        return _ended(found, f"at the end: {error.reason}: {error}")
    found.params = {
        label: p.detach().reshape(-1)[:MOST_SHOWN].tolist() for label, p in problem.params.items()
    }
    return found


def _ended(found: TrainingRun, why: str) -> TrainingRun:
    found.status, found.failure = "failed", why
    return found


def _accurate_loss(problem: Problem, setup: Setup) -> float:
    tight = max(setup.forward.rtol * TIGHTER, FLOOR)
    settings = Settings(SOLVERS.load("dopri5"), tight, tight, max_steps=setup.forward.max_steps)
    solution = integrate(Field(problem), problem.flat_z0(), problem.ts, settings, keep=False)
    with torch.no_grad():
        return float(problem.loss_of(solution.zs))


def _hold_against_truth(found: TrainingRun, step: int, problem: Problem, taken: MethodRun) -> None:
    """Cosine and error of dL/dθ; why not, where the truth cannot be known."""
    precise = problem.to(torch.float64, torch.device("cpu"))
    try:
        truth = sensitivity_reference(precise)
    except (NoReferenceError, SolveError, ProblemError) as error:
        found.no_truth = f"step {step}: {error}"
        return
    parts = slices(precise)
    start, end = parts["z0"].stop, parts["ts"].start
    true = torch.from_numpy(truth.value[start:end])
    ours = torch.cat([g.detach().double().cpu().reshape(-1) for g in _by_name(problem, taken)])
    size = float(true.norm())
    if size == 0:
        found.no_truth = f"step {step}: the true gradient is zero"
        return
    found.truth.append(
        TruthPoint(
            step=step,
            cosine=float(true @ ours) / (size * float(ours.norm())) if ours.any() else 0.0,
            relative_error=float((ours - true).norm()) / size,
            uncertainty=norm(truth.bar[start:end]) / size,
        )
    )


def _by_name(problem: Problem, taken: MethodRun) -> list[Any]:
    return [taken.gradient.params[name] for name in problem.params]
