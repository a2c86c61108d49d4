"""Hessian-vector products by double backward, and differences of the gradient beside them.

For a method that holds the step sizes constant both are taken on the frozen grid, for one that
differentiates the step-size search (naive) through the whole adaptive solve, for one of a library
on its own accepted steps. Differences get their step and their bar entry by entry from the same
ladder as those of the loss (:mod:`.ladder`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from node_diag.errors import ProblemError, SolveError
from node_diag.field import Field
from node_diag.gradients.base import GradientMethod, Setup, WholeGradient, run
from node_diag.gradients.peers.base import LibraryMethod
from node_diag.gradients.vjp import derivatives
from node_diag.norms import norm
from node_diag.problem import Problem
from node_diag.references import ladder, noise
from node_diag.references.base import Vector, flat_inputs, flatten, slices
from node_diag.references.frozen_map import input_scale
from node_diag.solvers.solution import Grid
from node_diag.solvers.step_map import OwnSteps

SAME = 1e-6
"""Relative distance of two ways to the same first derivative."""
SPACING = 1e-11
"""Between the seven points that the noise of the gradient is measured at, relative."""


WHOLE, OWN = "the whole adaptive solve", "its own accepted steps"


@dataclass(frozen=True)
class SecondOrder:
    """H v over z0 and the parameters, all of shape (D + P,).

    Attributes:
        product: by double backward.
        value, bar: by differences of the gradient, and the uncertainty of every entry.
        map: what was differentiated twice.
    """

    product: Vector
    value: Vector
    bar: Vector
    map: str


def second_order(
    method: GradientMethod, problem: Problem, setup: Setup, grid: Grid
) -> SecondOrder | str:
    """Check one method along a random line, or say why it cannot be checked.

    Args:
        method: the gradient method.
        problem: float64, on the CPU.
        setup: how the method is run.
        grid: the accepted steps of the forward solve.
    """
    if isinstance(method, WholeGradient):
        return "it returns numbers without a graph, so they cannot be differentiated again"
    try:
        twice = _Twice(method, problem.to(problem.dtype, problem.device, copy=True), setup, grid)
        if not twice.is_what_backward_gives():
            return (
                "its backward pass gives another gradient than autograd through its forward pass, "
                "so products through the latter say nothing about it"
            )
        product = twice.product()
    except _NoGraphError:
        return "its forward pass leaves no graph, so its gradient cannot be differentiated again"
    except (ProblemError, SolveError) as error:
        return f"its gradient cannot be differentiated again: {error}"
    found = ladder.climb(twice.quotients, np.ones(product.size), twice.noise())
    return SecondOrder(product, found.value, found.bar, twice.differentiated)


class _NoGraphError(Exception):
    pass


States = Callable[[Field, Tensor, Tensor], Tensor]
"""(field, z0, ts) → observed states, with their graph."""


class _Twice:
    """The gradient of one method as a function of the inputs, and its derivative along v."""

    def __init__(self, method: GradientMethod, problem: Problem, setup: Setup, grid: Grid) -> None:
        self._method, self._problem, self._setup = method, problem, setup
        self._states, self.differentiated = self._map(grid)
        self._parts = slices(problem)
        self._inputs = [part for name, part in self._parts.items() if name != "ts"]
        n = self._parts["ts"].start
        self._base = flat_inputs(problem)[:n].copy()
        random = np.random.default_rng(5).standard_normal(n)
        scale = input_scale(problem)[:n]
        self._line = scale * random / np.sqrt(np.mean(random**2))
        self._seen: dict[float, tuple[Vector, Vector]] = {}

    def _map(self, grid: Grid) -> tuple[States, str]:
        """What the method's gradient is one of, and in words."""
        method, steps = self._method, None
        if isinstance(method, LibraryMethod) and not method.traces_control:
            solution = run("own", method, self._problem, self._setup).solution
            steps = method.steps(Field(self._problem), solution, self._setup)
        elif method.constant_steps:
            steps = OwnSteps(self._setup.forward.tableau, grid)
        if steps is None:
            return self._by_method, WHOLE
        return steps, OWN if isinstance(method, LibraryMethod) else "the accepted steps"

    def is_what_backward_gives(self) -> bool:
        """Whether autograd through the forward pass gives the method's own gradient."""
        loss, inputs = self._loss(self._base, self._by_method)
        through = _flat(derivatives(loss, inputs), inputs)
        own = flatten(run("own", self._method, self._problem, self._setup).gradient)
        own = own[: through.size]
        return bool(norm(through - own) <= SAME * norm(through))

    def product(self) -> Vector:
        """H v by differentiating g·v, through the graph that the method itself leaves."""
        loss, inputs = self._loss(self._base, self._by_method)
        gradients = derivatives(loss, inputs, create_graph=True)
        pieces = [
            (g.reshape(-1) * torch.from_numpy(self._line[part])).sum()
            for g, part in zip(gradients, self._inputs, strict=True)
            if g is not None and g.requires_grad
        ]
        if not pieces:
            return np.zeros(self._base.size)
        return _flat(derivatives(torch.stack(pieces).sum(), inputs), inputs)

    def quotients(self, lines: ladder.Lines, steps: Vector) -> ladder.Taken:
        """Central differences of entries of the gradient along v."""
        ups, downs = np.empty(lines.size), np.empty(lines.size)
        for step in np.unique(steps):
            if step not in self._seen:
                self._seen[step] = self._gradient(step), self._gradient(-step)
            own = steps == step
            for found, end in zip((ups, downs), self._seen[step], strict=True):
                found[own] = end[lines[own]]
        return ladder.taken(ups, downs, 2 * steps)

    def noise(self) -> float:
        """Standard deviation of the round-off in the gradient, of its noisiest entry."""
        offsets = SPACING * np.arange(-(noise.POINTS // 2), noise.POINTS // 2 + 1)
        table = np.stack([self._gradient(offset) for offset in offsets])
        floor = float(np.finfo(np.float64).eps) * float(np.max(np.abs(table), initial=0.0))
        return max(floor, *(noise.along(column) for column in table.T)) if table.size else floor

    def _gradient(self, step: float) -> Vector:
        try:
            loss, inputs = self._loss(self._base + step * self._line, self._states)
        except SolveError:
            return np.full(self._base.size, np.nan)
        return _flat(derivatives(loss, inputs), inputs)

    def _loss(self, at: Vector, states: States) -> tuple[Tensor, list[Tensor]]:
        """The loss with its graph, and the inputs it hangs on: z0 and the parameters."""
        problem = self._problem
        with torch.no_grad():
            for name, p in problem.params.items():
                p.copy_(torch.from_numpy(at[self._parts[f"params.{name}"]]).reshape(p.shape))
        z0 = torch.from_numpy(at[self._parts["z0"]].copy()).requires_grad_()
        with torch.enable_grad():
            zs = states(Field(problem), z0, torch.tensor(problem.ts, dtype=torch.float64))
            # A loss that depends on nothing has a gradient too.
            loss = problem.loss_of(zs) + 0 * z0.sum()
        return loss, [z0, *problem.params.values()]

    def _by_method(self, field: Field, z0: Tensor, ts: Tensor) -> Tensor:
        zs = self._method.forward(field, z0, ts, self._setup).solution.zs
        if not zs.requires_grad:
            raise _NoGraphError
        return zs


def _flat(found: Sequence[Tensor | None], inputs: Sequence[Tensor]) -> Vector:
    parts = [
        np.zeros(x.numel()) if g is None else g.detach().numpy().ravel()
        for g, x in zip(found, inputs, strict=True)
    ]
    return np.concatenate(parts)
