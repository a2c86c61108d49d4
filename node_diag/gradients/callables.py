"""Gradients from a function of the user's: one that gives them, or a differentiable solver."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from node_diag.errors import ProblemError
from node_diag.field import Field
from node_diag.gradients.base import Backward, Gradient, Setup, Tape, through_graph
from node_diag.gradients.peers.base import ShapedDynamics, name_of
from node_diag.problem import Problem
from node_diag.solvers.solution import Grid, Solution

SHAPE = (
    "a gradient function returns (loss, gradients), gradients being a dict of arrays with the keys "
    "'z0' and every parameter's name, and 'ts' (or 't0' and 't1') if it has them"
)
TIMES = ("ts", "t0", "t1")


@dataclass(frozen=True)
class GradientFunction:
    """``function(problem)`` → (loss, gradients), however it comes by them.

    Of the settings of the check it gets those that it has an argument for: rtol, atol, solver,
    step_size.

    Attributes:
        function: the user's.
    """

    function: Callable[..., Any]

    def whole(self, f: Field, setup: Setup) -> tuple[float, Backward]:
        """Loss and gradient; evaluations of ``problem.func`` are counted in ``f``.

        Raises:
            ProblemError: what it returns is no loss and gradients.
        """
        with ExitStack() as stack:
            problem = _counted(f, stack)
            found = self.function(problem, **self._settings(setup))
        if not (isinstance(found, tuple) and len(found) == 2):
            raise ProblemError(f"it returned a {type(found).__name__}; {SHAPE}")
        loss, gradients = cast("tuple[Any, Any]", found)
        if not isinstance(gradients, Mapping):
            raise ProblemError(f"its gradients are a {type(gradients).__name__}; {SHAPE}")
        value = _number(loss)
        if not math.isfinite(value):
            raise ProblemError(f"the loss it returned is {value}")
        return value, _backward(f.problem, cast("Mapping[str, Any]", gradients))

    def _settings(self, setup: Setup) -> dict[str, Any]:
        forward = setup.forward
        known = {
            "rtol": forward.rtol,
            "atol": forward.atol,
            "solver": name_of(forward.tableau),
            "step_size": forward.step_size,
        }
        wanted = inspect.signature(self.function).parameters
        return {name: value for name, value in known.items() if name in wanted}


class DifferentiableSolver:
    """A gradient method from a solver that autograd goes through. See :func:`from_solver`."""

    discrete = False
    constant_steps = False
    reconstructs = False

    def __init__(self, solve: Callable[[Any, Any, Tensor], Any]) -> None:
        self.solve = solve

    def forward(self, field: Field, z0: Tensor, ts: Tensor, setup: Setup) -> Tape:
        """Its solve, with whatever graph it leaves."""
        layout = field.problem.layout
        func = ShapedDynamics(field, float("inf"))
        found = self.solve(func, layout.unflatten(z0), ts)
        zs = layout.flatten(found, lead=1)
        if len(zs) == len(ts):
            zs = zs[1:]
        if zs.shape != (len(ts) - 1, layout.numel):
            raise ProblemError(
                f"the solver returned states of shape {tuple(zs.shape)} (flat); it returns them at "
                f"ts, {len(ts)} of them, or at ts[1:]"
            )
        if not zs.requires_grad:
            raise ProblemError("the solver returned states without a graph to differentiate")
        times = ts.detach()
        grid = Grid(float(times[0]), float(times[-1]))
        return Tape(field, setup, Solution(times.tolist(), zs, grid, [], []), z0, ts)

    def backward(self, tape: Tape, cotangents: Tensor) -> Backward:
        """Through its graph."""
        return through_graph(tape.field, tape.solution.zs, tape.z0, tape.ts, cotangents)


def from_solver(solve: Callable[[Any, Any, Tensor], Any]) -> DifferentiableSolver:
    """A gradient method from a solver of one's own, such as a ``torch.autograd.Function``.

    In a file for ``--method file.py``::

        METHOD = node_diag.from_solver(lambda f, z0, ts: MySolve.apply(f, z0, ts, *f.parameters()))

    Args:
        solve: ``solve(f, z0, ts)`` → states at ts, or at ts[1:]. f is a module ``f(t, z)`` with the
            problem's parameters; z0 and ts require gradients.
    """
    return DifferentiableSolver(solve)


def _counted(f: Field, stack: ExitStack) -> Problem:
    """The problem with a z0 of its own and an f whose evaluations are counted."""
    problem = copy.copy(f.problem)
    parts = problem.z0
    problem.z0 = tuple(p.clone() for p in parts) if isinstance(parts, tuple) else parts.clone()
    func = problem.func

    def count(*_: Any) -> None:
        f.nfe += 1

    if isinstance(func, nn.Module):
        stack.enter_context(_handle(func.register_forward_pre_hook(count)))
    else:

        def counting(t: Tensor, z: Any) -> Any:
            count()
            return func(t, z)

        problem.func = counting
    return problem


def _handle(handle: Any) -> Any:
    stack = ExitStack()
    stack.callback(handle.remove)
    return stack


def _backward(problem: Problem, given: Mapping[str, Any]) -> Backward:
    expected = {"z0": problem.flat_z0(), **problem.params}
    for name in given:
        if name not in expected and name not in TIMES:
            raise ProblemError(
                f"it returned a gradient for '{name}', which is neither z0, ts nor a parameter; "
                f"there are: {', '.join(expected)}"
            )
    found = {name: _like(name, given, x) for name, x in expected.items()}
    ts = _in_times(given, len(problem.ts))
    z0 = found.pop("z0").reshape(-1)
    nothing = torch.full((len(problem.ts),), torch.nan, dtype=torch.float64)
    own = Gradient(z0, nothing if ts is None else ts, found)
    return Backward(own, knows_times=ts is not None)


def _in_times(given: Mapping[str, Any], count: int) -> Tensor | None:
    """dL/dts, if it gives any.

    Raises:
        ProblemError: of some times only: they would not be judged, and nobody would know.
    """
    if "ts" in given:
        return _like("ts", given, torch.zeros(count, dtype=torch.float64)).reshape(-1)
    ends = [name for name in ("t0", "t1") if name in given]
    if not ends:
        return None
    if len(ends) < 2 or count > 2:
        raise ProblemError(
            f"it returned a gradient for {' and '.join(ends)} of {count} times; return 'ts' with "
            "one for each, or none of them"
        )
    return torch.tensor([_number(given[name]) for name in ends], dtype=torch.float64)


def _like(name: str, given: Mapping[str, Any], like: Tensor) -> Tensor:
    if name not in given:
        raise ProblemError(f"it returned no gradient for {name}; {SHAPE}")
    if given[name] is None:
        raise ProblemError(
            f"it returned None for {name}; where there is no gradient, return zeros of shape "
            f"{tuple(like.shape)}"
        )
    value = _tensor(name, given[name])
    flat = name in ("z0", "ts")  # z0's may come as one vector, of a tuple state it has to
    if value.numel() != like.numel() or not (flat or value.ndim == 0 or value.shape == like.shape):
        raise ProblemError(
            f"it returned a gradient of shape {tuple(value.shape)} for {name}, which has shape "
            f"{tuple(like.shape)}"
        )
    return value.reshape(like.shape)


def _tensor(name: str, value: Any) -> Tensor:
    if value.is_complex() if isinstance(value, Tensor) else np.iscomplexobj(value):
        raise ProblemError(f"its gradient for {name} is complex; the loss is real, and so is this")
    if isinstance(value, Tensor):
        return value.detach().double().cpu()
    if isinstance(value, tuple):  # the parts of a tuple state
        return torch.cat([_tensor(name, part).reshape(-1) for part in cast("Any", value)])
    try:
        return torch.from_numpy(np.array(value, dtype=np.float64))
    except (TypeError, ValueError) as error:
        what = type(value).__name__
        raise ProblemError(
            f"its gradient for {name} is a {what}, not an array of numbers"
        ) from error


def _number(value: Any) -> float:
    try:
        return float(value.detach() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError) as error:
        what = type(value).__name__
        raise ProblemError(f"its loss is a {what}, not a number; {SHAPE}") from error
