"""Continuous adjoint: a second solve backward in time from z(t1), as Neural ODE libraries do it.

Chen et al., NeurIPS 2018. The augmented state (z̄, a, ∂L/∂θ) obeys dz̄/dt = f, da/dt = −(∂f/∂z)ᵀ a,
d(∂L/∂θ)/dt = −(∂f/∂θ)ᵀ a. z̄ is not z: where the forward flow contracts, the reverse one expands.
"""

import torch
from torch import Tensor

from node_diag.errors import NonFiniteError, RunawayError, SolveError
from node_diag.field import Field
from node_diag.gradients.base import Backward, Gradient, Setup, Tape
from node_diag.gradients.trail import Trail
from node_diag.gradients.vjp import vjp
from node_diag.solvers.integrate import OnStep, integrate
from node_diag.solvers.runge_kutta import time_like

AWAY = 100.0
"""Times the largest state among z0 and those observed: a z̄ beyond is far from the trajectory."""
PATIENCE, FEWEST = 5, 1_000
"""Steps that such a solve may take: so many for each forward step, and at least so many."""


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
        except NonFiniteError as error:
            error.reconstruction = result.reconstruction
            raise _of_derivative(tape, error) from None
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
        watch = _Watch(tape, n_state)
        for k in reversed(range(len(zs))):
            ts_total[k + 1] = _dot_f(f, cotangents[k], ts[k + 1], zs[k])
            aug_state = torch.cat([zs[k], adj_z + cotangents[k], adj_params])
            reverse = integrate(
                _augmented(f, n_state, params),
                aug_state,
                [float(ts[k + 1]), float(ts[k])],
                tape.setup.backward,
                keep=False,
                on_step=watch.recording(result, trail, k) if tape.setup.record else watch,
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


def _of_derivative(tape: Tape, error: NonFiniteError) -> NonFiniteError:
    """The same error in other words, if it arose where f itself is finite."""
    observed = {float(t): z for t, z in zip(tape.ts[1:], tape.solution.zs, strict=True)}
    z = observed.get(error.t)
    if z is None:
        return error
    with torch.no_grad():
        value = tape.field(z.new_tensor(error.t), z)
    if not bool(torch.isfinite(value).all()):
        return error
    found = NonFiniteError(
        f"the derivative of f, or the gradient of the loss, is NaN or infinite at t = {error.t}",
        error.t,
    )
    found.reconstruction = error.reconstruction
    return found


def _dot_f(f: Field, cotangent: Tensor, t: Tensor, z: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.dot(cotangent, f(time_like(t, z), z)).double().cpu()


class _Watch:
    """Ends a reverse-time solve that has left the trajectory by far and gets nowhere.

    In a chaotic or strongly damped flow z̄ grows until every step is tiny, and the solve would take
    a hundred thousand of them to return a gradient of another trajectory.
    """

    def __init__(self, tape: Tape, n_state: int) -> None:
        self.n_state, self.n_steps = n_state, 0
        self.forward_steps = tape.solution.n_accepted
        self.most = max(FEWEST, PATIENCE * self.forward_steps)
        known = (tape.z0.detach(), tape.solution.zs.detach())
        self.largest = max(float(torch.linalg.vector_norm(z, ord=torch.inf)) for z in known)

    def __call__(self, t: float, aug_state: Tensor) -> None:
        """After every step.

        Raises:
            RunawayError: it is time to give up.
        """
        self.n_steps += 1
        if self.n_steps <= self.most:
            return
        size = float(torch.linalg.vector_norm(aug_state[: self.n_state], ord=torch.inf))
        if size > AWAY * self.largest > 0:
            raise RunawayError(
                f"at t = {t:.6g} the reverse-time state is {size:.1e}, while neither z0 nor an "
                f"observed state is above {self.largest:.1e}; stopped after {self.n_steps} steps "
                f"back for {self.forward_steps} forward",
                t,
            )

    def recording(self, result: Backward, trail: Trail, included: int) -> OnStep:
        """The same, keeping z̄ and what the cotangents have gathered."""

        def record(t: float, aug_state: Tensor) -> None:
            z, adj_z, adj_params = aug_state.tensor_split([self.n_state, 2 * self.n_state])
            result.reconstruction.append((t, z.tolist()))
            trail.note(t, included, adj_z, [adj_params])
            self(t, aug_state)

        return record


METHOD = Adjoint()
