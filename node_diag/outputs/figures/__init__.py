"""Figures drawn from a report with matplotlib, each with a description and its numbers."""

from node_diag.outputs.figures import (
    convergence,
    cost,
    error_origin,
    gradient_error,
    reconstruction_error,
    step_choice,
    steps,
    taylor,
    training,
    trajectory,
)
from node_diag.outputs.figures.plot import Plot

PLOTS: tuple[Plot, ...] = (
    gradient_error.PLOT,
    trajectory.PLOT,
    reconstruction_error.PLOT,
    error_origin.PLOT,
    steps.PLOT,
    convergence.PLOT,
    cost.PLOT,
    taylor.PLOT,
    step_choice.PLOT,
)
TRAINED: tuple[Plot, ...] = (training.LOSS, training.ERROR)
"""Those of a report that has a training."""
