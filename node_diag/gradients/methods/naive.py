"""Backprop through everything: rejected trials, the controller and the step sizes included.

The naive method of Zhuang et al. (ICML 2020). Besides the gradient of the accepted steps it
contains the derivative of the step-size search, which the true gradient does not.
"""

from torch import Tensor

from node_diag.field import Field
from node_diag.gradients.base import Backward, Setup, Tape, backpropagate
from node_diag.solvers.integrate import integrate


class Naive:
    """Graph of every trial, h a function of z0, θ and t0 throughout."""

    discrete = True
    constant_steps = False
    reconstructs = False

    def forward(self, field: Field, z0: Tensor, ts: Tensor, setup: Setup) -> Tape:
        """Solve with the graph of every trial."""
        solution = integrate(field, z0, ts, setup.forward, "traced", keep=False)
        return Tape(field, setup, solution, z0, ts)

    def backward(self, tape: Tape, cotangents: Tensor) -> Backward:
        """One backward pass through the graph."""
        return backpropagate(tape, cotangents)


METHOD = Naive()
