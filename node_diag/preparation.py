"""What a check works with, from what was asked for: the problem moved, the solves set up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from node_diag.config import CheckConfig
from node_diag.errors import UsageError
from node_diag.field import validate
from node_diag.gradients.base import Setup
from node_diag.problem import Problem
from node_diag.registry import SOLVERS
from node_diag.solvers.controller import largest_rms
from node_diag.solvers.solution import Settings

NOISY_STEPS = 500
"""Trials after which a solve of an f with random numbers in it is given up."""


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
        "step_size": None if tableau.adaptive else step_size(problem, config),
        "max_step": config.max_step,
        "max_steps": config.max_steps,
    }
    forward = Settings(tableau, config.rtol, config.atol, **shared, control=config.control)
    backward = Settings(
        tableau, config.adjoint_rtol, config.adjoint_atol, **shared, norm=largest_rms(blocks)
    )
    return Setup(forward, backward, record=True)


def step_size(problem: Problem, config: CheckConfig) -> float:
    """|h| of a fixed-step solver: a hundredth of the whole interval if nothing else is said."""
    return config.step_size or abs(problem.t1 - problem.t0) / 100


def impatient(setup: Setup) -> Setup:
    """Fewer steps for an f that is never the same: its noise keeps the error control busy."""
    few = min(setup.forward.max_steps, NOISY_STEPS)
    return replace(
        setup,
        forward=replace(setup.forward, max_steps=few),
        backward=replace(setup.backward, max_steps=few),
    )
