"""How to solve, and what a solve leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from node_diag.solvers.controller import Norm, Tolerance, rms
from node_diag.solvers.tableau import Tableau

Control = Literal["state", "sensitivities"]


@dataclass(frozen=True)
class Settings:
    """How to solve: the method's tableau and its step-size rule.

    Attributes:
        step_size: |h| of fixed-step methods; None: 1/100 of the interval.
        first_step: |h| of the first trial of adaptive ones; None: chosen as in Hairer II.4.
        max_step: the longest |h| of adaptive ones; None: no bound.
        max_steps: trials before the solve is given up.
        norm: in which an adaptive method measures its error.
        control: what that error is of: the state alone, or its sensitivities as well.
        tolerance: how an error is put beside rtol and atol.
    """

    tableau: Tableau
    rtol: float = 1e-5
    atol: float = 1e-5
    step_size: float | None = None
    first_step: float | None = None
    max_step: float | None = None
    max_steps: int = 100_000
    norm: Norm = rms
    control: Control = "state"
    tolerance: Callable[[float, float, Norm], Tolerance] = Tolerance


@dataclass
class Grid:
    """The accepted steps: t_0, the sizes h_i, and t_N. It is what "frozen" means.

    The last size closes onto t1: h_{N−1} = t1 − (t0 + Σ h_i). ``step_of[k]`` is the step in which
    observation k (at ts[k + 1]) lies.
    """

    t0: float
    t1: float
    h: list[float] = field(default_factory=list[float])
    step_of: list[int] = field(default_factory=list[int])

    def starts(self) -> list[float]:
        """t_i at which step i starts."""
        times = [self.t0]
        for size in self.h[:-1]:
            times.append(times[-1] + size)
        return times


@dataclass
class Solution:
    """A finished solve.

    Attributes:
        ts: observation times asked for, t0 first.
        zs: (K, D), states at ts[1:].
        grid: accepted step sizes.
        checkpoints: N + 1 states (D,), at t_0 … t_N; cut from the graph.
        rejected: (t, h) of every rejected trial.
        nfe: evaluations of f, where the caller counted them.
    """

    ts: list[float]
    zs: Tensor
    grid: Grid
    checkpoints: list[Tensor]
    rejected: list[tuple[float, float]]
    nfe: int = 0

    @property
    def n_accepted(self) -> int:
        """Accepted steps N_t."""
        return len(self.grid.h)

    @property
    def n_rejected(self) -> int:
        """Rejected trials."""
        return len(self.rejected)

    @property
    def trials_per_step(self) -> float:
        """M of the ACA paper: trials for each accepted step."""
        return (self.n_accepted + self.n_rejected) / max(self.n_accepted, 1)
