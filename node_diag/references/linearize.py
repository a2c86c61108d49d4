"""f and its Jacobians for the sensitivity equations, numpy in and numpy out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from node_diag.field import Field
from node_diag.gradients.vjp import derivatives, vjp
from node_diag.measure.memory import LiveBytes
from node_diag.norms import norm
from node_diag.problem import Problem
from node_diag.references.base import Vector
from node_diag.references.screen import Screen

FEWEST_STEPS = 100
MEMORY, MOST_LANES = 64 * 2**20, 512
"""Bytes one evaluation of f takes, times the points that are evaluated at once; those points."""
Jacobians = Callable[[Vector, Vector], tuple[Vector, Vector]]


class Linearized:
    """Dynamics of a float64 CPU problem with ∂f/∂z and ∂f/∂θ.

    Attributes:
        n_state, n_params: D and P.
        size: of the state, at most one: what absolute tolerances are relative to.
        span: |t1 − t0|.
        batched: whether torch.func.vmap works on f; else Jacobians are taken one by one.
        screen: for Jacobians that a reference rests on.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.field = Field(problem)
        self.n_state = problem.layout.numel
        self.n_params = sum(p.numel() for p in problem.params.values())
        z0 = problem.flat_z0().numpy()
        self.size = min(1.0, norm(z0) / np.sqrt(z0.size)) or 1.0
        self._params = {name: p.detach() for name, p in problem.params.items()}
        self._many, self._shared = self.field.batched(), self.field.batched([])
        with torch.no_grad(), LiveBytes(problem.params.values()) as live:
            self.field(torch.tensor(problem.t0, dtype=torch.float64), problem.flat_z0())
        self._lanes = int(np.clip(MEMORY // (live.peak or 1), 1, MOST_LANES))
        self.batched = self._can_be_batched()
        self.screen = Screen(self.values, self._params, self.size)
        self.span = abs(problem.t1 - problem.t0)
        self._longest = self.span / FEWEST_STEPS

    def longest_step(self, rtol: float) -> float:
        """A small part of the interval; a pulse in f that is much shorter may be stepped over.

        It goes with the tolerance as the steps of a method of order 8 do, so that two solves do not
        take the same steps, which would make their difference no measure of their errors.
        """
        return self._longest * (rtol / 1e-13) ** (1 / 8)

    def f(self, t: float, z: Vector) -> Vector:
        """dz/dt at (t, z), z of shape (D,)."""
        with torch.no_grad():
            value = self.field(torch.tensor(t, dtype=torch.float64), torch.from_numpy(z))
        return value.detach().numpy()

    def values(self, ts: Vector, zs: Vector, params: Mapping[str, Tensor] | None = None) -> Vector:
        """dz/dt (n, D) at n points: ts (n,), zs (n, D); with other parameters if there are any."""
        own = self._params if params is None else params
        points = torch.from_numpy(ts), torch.from_numpy(zs)
        with torch.no_grad():
            if self.batched:
                return self._shared(*points, own).detach().numpy()
            f = self.field if params is None else self.field.with_params(own)
            return torch.stack([f(t, z) for t, z in zip(*points, strict=True)]).detach().numpy()

    def jacobians(self, ts: Vector, zs: Vector) -> tuple[Vector, Vector]:
        """∂f/∂z (n, D, D) and ∂f/∂θ (n, D, P) at n points: ts (n,), zs (n, D)."""
        if self.batched:
            return self._at_once(torch.from_numpy(ts), torch.from_numpy(zs))
        points = [self._one(t, z) for t, z in zip(ts, zs, strict=True)]
        return np.stack([p[0] for p in points]), np.stack([p[1] for p in points])

    def vjp_params(self, ts: Vector, zs: Vector, adjoints: Vector) -> Vector:
        """Σ aᵀ ∂f/∂θ (P,) over n points: ts (n,), zs (n, D), adjoints (n, D)."""
        total = np.zeros(self.n_params)
        for some in np.array_split(np.arange(len(ts)), max(1, len(ts) // self._lanes)):
            points = ts[some], zs[some], adjoints[some]
            dz, products = self._products(*points)
            self.screen.hold_products(*points, dz.numpy())
            if products:
                self._hold_sum(*points, products)
                total += np.concatenate([g.numpy().ravel() for g in products.values()])
        return total

    def _products(
        self, ts: Vector, zs: Vector, adjoints: Vector
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """aᵀ ∂f/∂z (n, D), and Σ aᵀ ∂f/∂θ by parameter."""
        t, z = torch.from_numpy(ts), torch.from_numpy(zs).requires_grad_()
        with torch.enable_grad():
            if self.batched:
                inputs = {name: p.clone().requires_grad_() for name, p in self._params.items()}
                value = self._shared(t, z, inputs)
            else:
                inputs = dict(self.problem.params)
                value = torch.stack([self.field(*point) for point in zip(t, z, strict=True)])
        dz, *found = vjp([value], [z, *inputs.values()], [torch.from_numpy(adjoints)])
        return dz, dict(zip(inputs, found, strict=True))

    def _hold_sum(
        self, ts: Vector, zs: Vector, adjoints: Vector, products: Mapping[str, Tensor]
    ) -> None:
        """The screen looks at a sum; what it doubts is halved until single points are left."""
        if not self.screen.hold_sum(ts, zs, adjoints, products):
            return
        for half in np.array_split(np.arange(len(ts)), 2):
            points = ts[half], zs[half], adjoints[half]
            self._hold_sum(*points, self._products(*points)[1])

    def _at_once(self, ts: Tensor, zs: Tensor) -> tuple[Vector, Vector]:
        """Rows of the Jacobians by D backward passes through one vmapped evaluation.

        Plain autograd over vmap, not torch.func.jacrev: that one imports torch._dynamo on its first
        call, which takes longer than most checks.
        """
        n = len(ts)
        z = zs.clone().requires_grad_()
        params = {
            name: p.expand(n, *p.shape).clone().requires_grad_() for name, p in self._params.items()
        }
        inputs = [z, *params.values()]
        with torch.enable_grad():
            value = self._many(ts, z, params)
        dz = np.zeros((n, self.n_state, self.n_state))
        dp = np.zeros((n, self.n_state, self.n_params))
        for i in range(self.n_state if value.requires_grad else 0):
            row = derivatives(value[:, i].sum(), inputs, retain_graph=True)
            flat = [
                np.zeros((n, x[0].numel())) if g is None else g.detach().reshape(n, -1).numpy()
                for x, g in zip(inputs, row, strict=True)
            ]
            dz[:, i] = flat[0]
            if self._params:
                dp[:, i] = np.concatenate(flat[1:], axis=1)
        return dz, dp

    def _one(self, t: float, z: Vector) -> tuple[Vector, Vector]:
        """Row by row with plain autograd, for an f that torch.func cannot transform."""
        state = torch.from_numpy(z).clone().requires_grad_()
        inputs = [state, *self.problem.params.values()]
        dz = np.zeros((self.n_state, self.n_state))
        dp = np.zeros((self.n_state, self.n_params))
        with torch.enable_grad():
            value = self.field(torch.tensor(t, dtype=torch.float64), state)
        for i in range(self.n_state if value.requires_grad else 0):
            row = derivatives(value[i], inputs, retain_graph=True)
            flat = [
                np.zeros(x.numel()) if g is None else g.detach().numpy().ravel()
                for x, g in zip(inputs, row, strict=True)
            ]
            dz[i], dp[i] = flat[0], np.concatenate(flat[1:]) if self._params else 0.0
        return dz, dp

    def _can_be_batched(self) -> bool:
        """Whether vmap runs and agrees with plain autograd at (t0, z0)."""
        t0, z0 = np.array([self.problem.t0]), self.problem.flat_z0().numpy()
        self.batched = True
        try:
            dz, dp = self.jacobians(t0, z0[None])
        except Exception:
            return False
        one_dz, one_dp = self._one(t0[0], z0)
        right = _same(dz[0], one_dz) and _same(dp[0], one_dp)
        return right and self._sums_are_right(np.repeat(t0, 2), np.stack([z0, z0]))

    def _sums_are_right(self, ts: Vector, zs: Vector) -> bool:
        """Whether Σ aᵀ ∂f/∂θ over two points is what it is one by one.

        A batching rule of one's own may give every point the sum over all.
        """
        weights = np.random.default_rng(5).standard_normal(zs.shape)
        try:
            dz, together = self._products(ts, zs, weights)
        except Exception:
            return False
        self.batched = False
        one_dz, one_by_one = self._products(ts, zs, weights)
        self.batched = True
        return _same(dz.numpy(), one_dz.numpy()) and all(
            _same(g.numpy(), one_by_one[name].numpy()) for name, g in together.items()
        )


def _same(one: Vector, other: Vector) -> bool:
    return bool(np.allclose(one, other, rtol=1e-9, atol=1e-12))
