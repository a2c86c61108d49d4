"""The accepted steps of a solve as a map of its inputs: what "discrete gradient" is the one of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from node_diag.solvers.replay import replay
from node_diag.solvers.runge_kutta import FlatField
from node_diag.solvers.solution import Grid
from node_diag.solvers.tableau import Tableau


class StepMap(Protocol):
    """Redoes accepted steps, their sizes constant, from other inputs.

    Attributes:
        moves_times: whether the solves of one call may differ in their times.
    """

    @property
    def moves_times(self) -> bool: ...  # noqa: D102 - see above

    @property
    def evaluations(self) -> int:
        """Evaluations of f in one solve."""
        ...

    def __call__(self, f: FlatField, z0: Tensor, ts: Tensor) -> Tensor:
        """States at ts[1:].

        Args:
            f: dynamics for z0's shape.
            z0: (D,) or, for B solves at once, (B, D).
            ts: (K + 1,) or (K + 1, B), float64.

        Returns:
            (K, D) or (K, B, D).
        """
        ...


@dataclass(frozen=True)
class OwnSteps:
    """Those of our solvers."""

    tableau: Tableau
    grid: Grid
    moves_times = True

    @property
    def evaluations(self) -> int:
        """Evaluations of f in one solve."""
        return len(self.grid.h) * self.tableau.stages

    def __call__(self, f: FlatField, z0: Tensor, ts: Tensor) -> Tensor:
        """See :func:`.replay.replay`."""
        return replay(self.tableau, f, self.grid, z0, ts)
