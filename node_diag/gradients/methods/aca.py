"""Adaptive checkpoint adjoint: redo one accepted step at a time from its checkpoint, then free it.

Zhuang et al., ICML 2020. a_N = ∂L/∂z_N, a_i = a_{i+1} ∂z_{i+1}/∂z_i, dL/dθ = Σ a_{i+1} ∂z_{i+1}/∂θ
with h_i constant. Memory: N_t states and one step's graph.
"""

import torch
from torch import Tensor

from node_diag.field import Field
from node_diag.gradients.base import Backward, Gradient, Setup, Tape, by_parameter
from node_diag.gradients.trail import Trail
from node_diag.gradients.vjp import vjp
from node_diag.solvers.integrate import integrate
from node_diag.solvers.replay import observations, redo_step


class Aca:
    """Checkpoints forward, one step's graph at a time backward."""

    discrete = True
    constant_steps = True
    reconstructs = False

    def forward(self, field: Field, z0: Tensor, ts: Tensor, setup: Setup) -> Tape:
        """Solve without a graph and keep the accepted (t_i, z_i)."""
        solution = integrate(field, z0.detach(), ts, setup.forward)
        return Tape(field, setup, solution, z0, ts, kept=[*solution.checkpoints, solution.zs])

    def backward(self, tape: Tape, cotangents: Tensor) -> Backward:
        """Go through the steps from the last to the first, one vjp each."""
        f, solution = tape.field, tape.solution
        grid, tableau = solution.grid, tape.setup.forward.tableau
        params = list(f.params.values())
        totals = [torch.zeros_like(p) for p in params]
        # Times live where the states do: a gradient in them that is read off on the host at every
        # step would make it wait for the device.
        ts = tape.ts.detach().to(tape.z0.device)
        ts_total = torch.zeros_like(ts)
        adj_z = cotangents[-1]
        starts, inside = grid.starts(), observations(grid)
        trail, waiting = Trail(grid.t0, grid.t1), len(cotangents) - 1
        for i in reversed(range(len(grid.h))):
            is_last = i == len(grid.h) - 1
            with torch.enable_grad():
                z = solution.checkpoints[i].detach().requires_grad_()
                t = ts.new_full((), starts[i]).requires_grad_()
                taus = [ts[k + 1].clone().requires_grad_() for k in inside[i]]
                t_end = ts[-1].clone().requires_grad_()
                h = t_end - t if is_last else grid.h[i]
                z1, dense = redo_step(tableau, f, t, z, h, taus)
            adj_z, adj_t, adj_end, *found = vjp(
                [z1, *dense],
                [z, t, t_end, *taus, *params],
                [adj_z, *(cotangents[k] for k in inside[i])],
            )
            ts_total[0] += adj_t
            ts_total[-1] += adj_end
            for k, adj_tau in zip(inside[i], found, strict=False):
                ts_total[k + 1] += adj_tau
            for total, part in zip(totals, found[len(taus) :], strict=True):
                total += part
            waiting -= len(inside[i])
            if tape.setup.record:
                trail.note(starts[i], waiting, adj_z, totals)
        gradient = Gradient(adj_z, ts_total.cpu(), by_parameter(f, totals))
        return Backward(gradient, n_steps=len(grid.h), trail=trail.points)


METHOD = Aca()
