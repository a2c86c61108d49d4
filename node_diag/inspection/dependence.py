"""What f and the loss depend on: which parameters, tensors that are none, the time, the states.

Read off autograd's graphs at a few points of the trajectory; values decide about the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from node_diag.errors import ProblemError
from node_diag.field import Field, held_leaves
from node_diag.gradients.base import loss_vjp
from node_diag.gradients.vjp import derivatives
from node_diag.measure.operations import Operations
from node_diag.problem import Problem
from node_diag.records import Dependence
from node_diag.solvers.solution import Solution

POINTS = 5
ASIDE = 1e-3
"""How far from the states, relative and absolute, it is looked whether the loss sees them."""


def inspect(problem: Problem, solution: Solution) -> Dependence:
    """What reaches the loss, and what does not.

    Args:
        problem: float64, on the CPU.
        solution: where the trajectory is.
    """
    times = [*solution.grid.starts(), solution.grid.t1]
    chosen = np.unique(np.linspace(0, len(times) - 1, POINTS).astype(int))
    points = [(times[i], solution.checkpoints[i].double().cpu()) for i in chosen]
    zs = solution.zs.detach().double().cpu()
    cotangents, direct = loss_vjp(problem, zs)
    unused = _unused(problem, zs, cotangents)
    reached = set(direct)
    strangers: dict[int, Tensor] = {}
    field, own = Field(problem), {p.data_ptr() for p in problem.params.values()}
    with torch.no_grad(), _Read() as read:
        problem.loss_of(zs)
    for t, z in points:
        time = torch.tensor(t, dtype=torch.float64)
        with torch.enable_grad():
            held = held_leaves(field, time, z)
            with read:
                value = field(time, z.clone())
        if not value.requires_grad:
            continue
        strangers |= {leaf.data_ptr(): leaf for leaf in held if leaf.data_ptr() not in own}
        inputs = list(problem.params.values())
        found = derivatives(value.sum(), inputs) if inputs else []
        reached |= {n for n, g in zip(problem.params, found, strict=True) if g is not None}
    unreached = [name for name in problem.params if name not in reached]
    return Dependence(
        unreached=unreached,
        without_gradient=[n for n in unreached if problem.params[n].data_ptr() in read.places],
        frozen=_frozen(problem),
        unregistered=[_described(problem, leaf) for leaf in strangers.values()],
        uses_time=_uses_time(field, points, times),
        declared_autonomous=problem.autonomous,
        unused_times=[tau for tau, zero in zip(problem.ts[1:], unused, strict=True) if zero],
        stationary=not bool(cotangents.any()) and not all(unused),
    )


def _unused(problem: Problem, zs: Tensor, cotangents: Tensor) -> list[bool]:
    """Times whose states the loss does not see: its derivative is zero there and beside them.

    Where a model fits its data exactly it is zero as well, but not beside.
    """
    zero = [not bool(row.any()) for row in cotangents]
    if not any(zero):
        return zero
    try:
        beside, _ = loss_vjp(problem, zs * (1 + ASIDE) + ASIDE)
    except ProblemError:  # the loss may not be defined there
        return zero
    return [here and not bool(row.any()) for here, row in zip(zero, beside, strict=True)]


class _Read(Operations):
    """Where the tensors lie that operations are given; jit's are the same ones by other names."""

    def __init__(self) -> None:
        super().__init__()
        self.places: set[int] = set()

    def done(self, func: Any, args: tuple[Any, ...], found: Any) -> None:
        """Note them down."""
        self._note(args)

    def _note(self, values: Sequence[Any]) -> None:
        for value in values:
            if isinstance(value, Tensor) and value.layout == torch.strided:
                self.places.add(value.data_ptr())
            elif isinstance(value, tuple | list):
                self._note(cast("Sequence[Any]", value))


def _frozen(problem: Problem) -> list[str]:
    """Parameters of a module that do not require a gradient: left out on purpose, or not."""
    if not isinstance(problem.func, nn.Module):
        return []
    return [name for name, p in problem.func.named_parameters() if not p.requires_grad]


def _described(problem: Problem, leaf: Tensor) -> str:
    """The attribute that holds a tensor, if one does, and its shape."""
    shape = f"shape {tuple(leaf.shape)}"
    if isinstance(problem.func, nn.Module):
        for path, module in problem.func.named_modules():
            for name, value in vars(module).items():
                if name.startswith("_"):
                    continue
                for place, x in _held(value):
                    if isinstance(x, Tensor) and x.data_ptr() == leaf.data_ptr():
                        return f"{f'{path}.' if path else ''}{name}{place} ({shape})"
    return f"a tensor of {shape}"


def _held(value: object) -> list[tuple[str, object]]:
    """What an attribute holds, and where in it; layers in a list by their parameters."""
    if isinstance(value, dict):
        pairs = [(f"[{key!r}]", x) for key, x in cast("dict[object, object]", value).items()]
    elif isinstance(value, list | tuple):
        pairs = [(f"[{i}]", x) for i, x in enumerate(cast("Sequence[object]", value))]
    else:
        return [("", value)]
    return [
        (f"{place}{inner}", y)
        for place, x in pairs
        for inner, y in (
            [(f".{name}", p) for name, p in x.named_parameters()]
            if isinstance(x, nn.Module)
            else [("", x)]
        )
    ]


def _uses_time(field: Field, points: list[tuple[float, Tensor]], times: list[float]) -> bool:
    """Whether the value of f at a state is another one at another time."""
    with torch.no_grad():
        for t, z in points:
            here = field(torch.tensor(t, dtype=torch.float64), z)
            for other in {times[0], times[len(times) // 2], times[-1], t + 0.37 * (t or 1.0)}:
                there = field(torch.tensor(other, dtype=torch.float64), z)
                if not torch.equal(here, there):
                    return True
    return False
