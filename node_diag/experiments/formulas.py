"""Hand-written adjoints, as the sources print them and as they have to be, for ``--method``.

Each is a gradient method of one's own, such as anybody could write into a file: one solve of
(z, λ, dL/dθ, ∫λ ∂f/∂t) in reverse time, with the signs of a formula. They are for losses of the
last state alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from node_diag.field import Field
from node_diag.gradients.base import Backward, Gradient, Setup, Tape
from node_diag.gradients.vjp import vjp
from node_diag.solvers.controller import rms
from node_diag.solvers.integrate import integrate


@dataclass(frozen=True)
class Formula:
    """An adjoint by its signs.

    Attributes:
        end: λ(t1) = end · ∂L/∂z(t1).
        params: d/dt(dL/dθ) = params · λᵀ ∂f/∂θ, from t1 to t0.
        start: dL/dt0 = start · (λ(t1) f(t1) + ∫ λ ∂f/∂t dt from t1 to t0), for end = 1.
    """

    end: int
    params: int
    start: int
    discrete = False
    reconstructs = False

    def forward(self, field: Field, z0: Tensor, ts: Tensor, setup: Setup) -> Tape:
        """Solve, and keep what was observed."""
        solution = integrate(field, z0.detach(), ts, setup.forward, keep=False)
        return Tape(field, setup, solution, z0, ts, kept=[solution.zs])

    def backward(self, tape: Tape, cotangents: Tensor) -> Backward:
        """The formula, with λ's sign taken out of dL/dz0 and of the derivatives in time."""
        f, z1 = tape.field, tape.solution.zs[-1].detach()
        n, params = z1.numel(), list(f.params.values())
        t0, t1 = float(tape.ts[0]), float(tape.ts[-1])

        def dynamics(t: Tensor, state: Tensor) -> Tensor:
            multiplier = state[n : 2 * n]
            with torch.enable_grad():
                z, time = state[:n].detach().requires_grad_(), t.detach().requires_grad_()
                dz = f(time, z)
            by_z, by_t, *by_params = vjp([dz], [z, time, *params], [multiplier])
            summed = [self.params * v.reshape(-1) for v in by_params]
            return torch.cat([dz.detach(), -by_z, by_t.reshape(1), *summed])

        multiplier = self.end * cotangents[-1]
        start = torch.cat([z1, multiplier, z1.new_zeros(1 + sum(p.numel() for p in params))])
        # Its norm is of blocks for (z̄, a, ∂L/∂θ), and this state has one entry more.
        settings = replace(tape.setup.backward, norm=rms)
        reverse = integrate(dynamics, start, [t1, t0], settings, keep=False)
        blocks = [n, n, 1, *(p.numel() for p in params)]
        _, at_start, integral, *parts = reverse.zs[-1].split(blocks)
        with torch.no_grad():
            by_t1 = self.end * torch.dot(multiplier, f(torch.as_tensor(t1).to(z1), z1))
        ts = torch.zeros_like(tape.ts)
        ts[0] = self.start * (by_t1 + self.end * integral[0])
        ts[-1] = by_t1
        named = {
            name: part.reshape(p.shape).clone()
            for (name, p), part in zip(f.params.items(), parts, strict=True)
        }
        found = Gradient((self.end * at_start).clone(), ts.detach(), named)
        return Backward(found, reverse.n_accepted, reverse.n_rejected)


right = Formula(end=1, params=-1, start=-1)
"""As derived in docs/method.md; also what the two below become when they are corrected."""
printed_start_time = Formula(end=1, params=-1, start=1)
"""DL/dt0 = dL/dt1 + ∫ λ ∂f/∂t dt, from a comment under the post with the multipliers."""
printed_parameters = Formula(end=-1, params=-1, start=-1)
"""λ(T) = −∂L/∂z(T) with d/dt(dL/dθ) = −λᵀ ∂f/∂θ, from the slides' “numerical implementation”."""
corrected_parameters = Formula(end=-1, params=1, start=-1)
"""The same λ with the sign of the analytical form on the same slide."""
