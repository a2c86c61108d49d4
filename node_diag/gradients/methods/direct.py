"""Backprop through the accepted steps, step sizes constant: what most libraries call backprop.

Same gradient as ACA to round-off; memory grows with the number of steps. On Euler it is exactly
backpropagation through a residual network z_{i+1} = z_i + h f(z_i).
"""

from torch import Tensor

from node_diag.field import Field
from node_diag.gradients.base import Backward, Setup, Tape, backpropagate
from node_diag.solvers.integrate import integrate


class Direct:
    """Graph of the accepted steps with h constant."""

    discrete = True
    constant_steps = True
    reconstructs = False

    def forward(self, field: Field, z0: Tensor, ts: Tensor, setup: Setup) -> Tape:
        """Solve with a graph; the graphs of rejected trials are dropped on the way."""
        solution = integrate(field, z0, ts, setup.forward, "frozen", keep=False)
        return Tape(field, setup, solution, z0, ts)

    def backward(self, tape: Tape, cotangents: Tensor) -> Backward:
        """One backward pass through the graph."""
        return backpropagate(tape, cotangents)


METHOD = Direct()
