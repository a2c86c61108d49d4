"""Each checker as a function (map, gradient) → does it accept the gradient?

All see the same thing: the loss of the frozen map in (z0, θ) as a function of a vector, and a
gradient at one point; each with its own default settings.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.differentiate import jacobian

from node_diag.references.base import Vector
from node_diag.references.finite_difference import steps_reference
from node_diag.references.frozen_map import FrozenMap


@dataclass
class Map:
    """J(x), x = (z0, θ) (n,), with its evaluations counted."""

    frozen: FrozenMap
    evaluations: int = 0
    _found: dict[str, tuple[Vector, Vector]] = field(default_factory=dict)

    @property
    def x(self) -> Vector:
        return self.frozen.base[: self.frozen.parts["ts"].start]

    def __call__(self, x: Vector) -> Vector:
        """J at points (..., n)."""
        flat = np.asarray(x, dtype=np.float64).reshape(-1, self.x.size)
        rows = torch.from_numpy(self.frozen.base).repeat(len(flat), 1)
        rows[:, : self.x.size] = torch.from_numpy(flat)
        self.evaluations += len(flat)
        found = self.frozen.losses(rows, self.frozen.dynamic, len(flat))
        return found.reshape(np.shape(x)[:-1])

    def once(self, name: str, compute: Callable[[], tuple[Vector, Vector]]):
        """A reference and its error estimate, computed the first time only."""
        if name not in self._found:
            self._found[name] = compute()
        return self._found[name]


def gradcheck(j: Map, gradient: Vector, *, fast: bool = False) -> bool:
    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return torch.tensor(float(j(x.detach().numpy())), dtype=torch.float64)

        @staticmethod
        def backward(ctx, *cotangents):
            return cotangents[0] * torch.from_numpy(gradient)

    x = torch.from_numpy(j.x.copy()).requires_grad_()
    return torch.autograd.gradcheck(Function.apply, [x], raise_exception=False, fast_mode=fast)


class Point:
    """A vector with the three operations that pyadjoint asks of a control."""

    def __init__(self, value: Vector) -> None:
        self.value = value

    def _ad_mul(self, factor: float) -> Point:
        return Point(factor * self.value)

    def _ad_add(self, other: Point) -> Point:
        return Point(self.value + other.value)


def taylor_test(j: Map, gradient: Vector, length: float) -> bool:
    """The usual assertion: a rate of at least 1.9, along the gradient with some length."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyadjoint import taylor_test as run  # says hello when it is imported

        direction = length * gradient / np.linalg.norm(gradient)
        rate = run(
            lambda m: float(j(m.value)),
            Point(j.x),
            Point(direction),
            dJdm=float(gradient @ direction),
        )
    return bool(rate > 1.9)


def numdifftools(j: Map, gradient: Vector) -> bool:
    def compute():
        import numdifftools as nd

        found = nd.Gradient(lambda x: float(j(x)), full_output=True)(j.x)
        return found.estimate, found.error_estimate.ravel()

    return _within(gradient, *j.once("numdifftools", compute))


def scipy_differentiate(j: Map, gradient: Vector) -> bool:
    def compute():
        found = jacobian(lambda x: j(np.moveaxis(x, 0, -1)), j.x)
        return found.df, found.error

    return _within(gradient, *j.once("scipy", compute))


def node_diag(j: Map, gradient: Vector) -> bool:
    """The differences and the odd part of the Taylor test, each within its own uncertainty."""

    def compute():
        found = steps_reference(j.frozen.problem, j.frozen.steps)
        j.evaluations += found.details["solves"] + 28 * len(found.lines)
        j.lines = found.lines
        return found.value[: j.x.size], found.bar[: j.x.size]

    value, bar = j.once("node-diag", compute)
    taylor = all(line.odd_part(gradient) <= line.bar for line in j.lines)
    return taylor and _within(gradient, value, bar)


def _within(gradient: Vector, value: Vector, bar: Vector) -> bool:
    return bool(np.linalg.norm(gradient - value) <= np.linalg.norm(bar))


JUDGES: dict[str, Callable[[Map, Vector], bool]] = {
    "node-diag": node_diag,
    "torch gradcheck": gradcheck,
    "torch gradcheck, fast mode": lambda j, g: gradcheck(j, g, fast=True),
    "pyadjoint taylor_test, ‖h‖ = 1": lambda j, g: taylor_test(j, g, 1.0),
    "pyadjoint taylor_test, ‖h‖ = 0.01": lambda j, g: taylor_test(j, g, 0.01),
    "numdifftools Gradient": numdifftools,
    "scipy.differentiate": scipy_differentiate,
}
