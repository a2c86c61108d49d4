"""Continuous adjoint: a second solve backward in time from z(t1), as Neural ODE libraries do it.

Chen et al., NeurIPS 2018. The augmented state (z̄, a, ∂L/∂θ) obeys dz̄/dt = f, da/dt = −(∂f/∂z)ᵀ a,
d(∂L/∂θ)/dt = −(∂f/∂θ)ᵀ a. z̄ is not z: where the forward flow contracts, the reverse one expands.
"""

import torch
from torch import Tensor

from node_diag.errors import SolveError
from node_diag.field import Field
from node_diag.gradients.base import Backward, Gradient, Setup, Tape
from node_diag.gradients.trail import Trail
from node_diag.gradients.vjp import vjp
from node_diag.solvers.integrate import integrate


class Adjoint:
    """Keeps the observed states only; z̄ restarts from them at each observation time."""

    discrete = False
    constant_steps = False
    reconstructs = True

    def forward(self, field: Field, z0: Tensor, ts: Tensor, setup: Setup) -> Tape:
        """Solve without a graph and keep the observed states."""
        solution = integrate(field, z0.detach(), ts, setup.forward, keep=False)
        return Tape(field, setup, solution, z0, ts, kept=[solution.zs])

    def backward(self, tape: Tape, cotangents: Tensor) -> Backward:
        """Reverse-time solves from one observation to the one before, with a jump at each.

        dL/dτ_k = ∂ℓ/∂z(τ_k)ᵀ f(τ_k, z(τ_k)) and dL/dt0 = −a(t0)ᵀ f(t0, z0).
        """
        result = Backward(Gradient(cotangents[0], tape.ts, {}))
        try:
            self._solve(tape, cotangents, result)
        except SolveError as error:
            error.reconstruction = result.reconstruction
            raise
        return result

    def _solve(self, tape: Tape, cotangents: Tensor, result: Backward) -> None:
        f, zs = tape.field, tape.solution.zs
        params = list(f.params.values())
        n_state, n_params = zs.shape[1], sum(p.numel() for p in params)
        ts = tape.ts.detach()
        ts_total = torch.zeros_like(ts)
        adj_z, adj_params = torch.zeros_like(zs[0]), zs.new_zeros(n_params)
        trail = Trail(float(ts[0]), float(ts[-1]), result.trail)
        for k in reversed(range(len(zs))):
            ts_total[k + 1] = _dot_f(f, cotangents[k], ts[k + 1], zs[k])
            aug_state = torch.cat([zs[k], adj_z + cotangents[k], adj_params])
            reverse = integrate(
                _augmented(f, n_state, params),
                aug_state,
                [float(ts[k + 1]), float(ts[k])],
                tape.setup.backward,
                keep=False,
                on_step=_recorder(result, trail, k, n_state) if tape.setup.record else None,
            )
            _, adj_z, adj_params = reverse.zs[0].split([n_state, n_state, n_params])
            result.n_steps += reverse.n_accepted
            result.n_rejected += reverse.n_rejected
        ts_total[0] = -_dot_f(f, adj_z, ts[0], tape.z0.detach())
        parts = adj_params.split([p.numel() for p in params])
        named = {
            name: part.reshape(p.shape).clone()
            for (name, p), part in zip(f.params.items(), parts, strict=False)
        }
        result.gradient = Gradient(adj_z.clone(), ts_total, named)


def _augmented(f: Field, n_state: int, params: list[Tensor]):  # noqa: ANN202 - a closure
    """(z̄, a, ∂L/∂θ) ↦ its time derivative: one evaluation of f and one vjp."""

    def dynamics(t: Tensor, aug_state: Tensor) -> Tensor:
        adj_z = aug_state[n_state : 2 * n_state]
        with torch.enable_grad():
            z = aug_state[:n_state].detach().requires_grad_()
            dz = f(t, z)
        vjp_z, *vjp_params = vjp([dz], [z, *params], [adj_z])
        return torch.cat([dz.detach(), -vjp_z, *(-v.reshape(-1) for v in vjp_params)])

    return dynamics


def _dot_f(f: Field, cotangent: Tensor, t: Tensor, z: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.dot(cotangent, f(t.to(dtype=z.dtype, device=z.device), z)).double().cpu()


def _recorder(result: Backward, trail: Trail, included: int, n_state: int):  # noqa: ANN202 - a closure
    def record(t: float, aug_state: Tensor) -> None:
        z, adj_z, adj_params = aug_state.tensor_split([n_state, 2 * n_state])
        result.reconstruction.append((t, z.tolist()))
        trail.note(t, included, adj_z, [adj_params])

    return record


METHOD = Adjoint()
