"""What f and the loss are like, apart from any solver."""

from __future__ import annotations

from typing import Literal

from node_diag.records.base import Real, Record

ROUND_OFF = {"float64": 1e-12, "float32": 1e-5}
"""Relative spread of values of f or the loss that threads adding in another order may cause."""


class Repeatability(Record):
    """What happened when f was evaluated three times at (t0, z0)."""

    spread: Real
    """Largest relative distance between the values."""
    loss_spread: Real = 0.0
    """The same for the loss of the same states."""
    uses_random_numbers: bool
    changed: list[str]
    """Buffers and attributes of func that evaluating it changed."""
    mutated: list[str] = []
    """Arguments that f changed in place, ``state`` or ``time``; it was given copies."""
    kept: list[str] = []
    """Parameters in which f loses its gradient, or a part, once it was evaluated without one."""
    suspects: list[str]
    """Layers in training mode that draw random numbers or keep statistics."""
    single_precision: bool = False
    """Whether f of a float64 state has float32 digits, all or in part: there is a cast in it."""

    single_precision_loss: bool = False
    """The same of the loss of float64 states."""

    narrow_type: str | None = None
    """``bfloat16``, say, if f of a float32 state computes in it (under autocast, for one).

    Of a float64 state, that of an autocast which f enters, and which leaves float64 alone.
    """

    @property
    def is_broken(self) -> bool:
        """Whether f has to be mended before anything that is found here can be relied on."""
        return bool(self.mutated or self.kept)

    @property
    def rounded(self) -> str:
        """What has float32 digits where the state is float64; empty if nothing."""
        if self.single_precision:
            return "f"
        return "the loss" if self.single_precision_loss else ""

    def f_repeats(self, dtype: str) -> bool:
        """Whether f gives the same value for the same input, as far as rounding goes."""
        return self.spread <= ROUND_OFF[dtype]

    def all_repeats(self, dtype: str) -> bool:
        """The same of f and the loss."""
        return self.f_repeats(dtype) and self.loss_spread <= ROUND_OFF[dtype]


class DerivativeMismatch(Record):
    """Along a random line in one input, autograd and differences of values disagree."""

    function: Literal["f", "loss"]
    input: str
    """``z``, ``t``, ``zs`` (of the loss) or a parameter."""
    t: float
    autograd: Real
    differences: Real
    uncertainty: Real


class OnKink(Record):
    """Along a random line in one input, f or the loss has another slope on each side."""

    function: Literal["f", "loss"]
    input: str
    """``z``, ``zs`` (of the loss) or a parameter."""
    t: float
    slopes: tuple[Real, Real]
    """Below and above."""


class Switch(Record):
    """An operation of f that changes its branch along the forward trajectory."""

    operation: str
    crossings: int
    """Entries that changed their branch between neighbouring points of the trajectory."""
    times: list[float]
    """Of the first few."""
    jump: Real
    """Largest relative jump of f across them; 0 for a kink."""
    in_state: bool
    """Whether the state decides when it jumps; else a parameter or the time alone does."""
    by_parameter: str = ""
    """A parameter that moves the jump."""
    moved_at: float | None = None
    """Where that was seen, of the state or a parameter."""
    unjudged: int = 0
    """Intervals with crossings of which it was not found out what decides."""


class Stability(Record):
    """How the flow stretches small differences along the forward trajectory, from Jacobians of f.

    Lists follow ``t``. Growth is log10 of a 2-norm.
    """

    t: list[float]
    contraction_rate: Real
    """Time mean of the fastest shrinking rate, the largest eigenvalue of −(J + Jᵀ)/2 or zero."""
    expansion_rate: Real
    """Time mean of the fastest growing rate, the largest eigenvalue of (J + Jᵀ)/2 or zero."""
    log10_growth: list[Real]
    """Of ‖Φ(t ← t0)‖: what a perturbation of z0 becomes."""
    log10_reverse_growth: list[Real]
    """Of ‖Φ(t ← t1)‖: what a perturbation of z(t1) becomes in a reverse-time solve."""
    log10_state_growth: Real
    """Of max ‖z(t)‖ / ‖z0‖."""
    log10_cotangent: list[Real]
    """Of ‖a(t)‖, the adjoint state; −300 where it is zero."""
    log10_loss_cotangent: Real
    """Of ‖∂L/∂z‖ over all observations."""
    predicted_error: list[Real]
    """Relative error of a reverse-time solve each of whose steps is wrong by its tolerance."""
    predicted_departure: float | None
    """Where that passes 1 %, coming from t1."""
    stability_share: Real
    """Share of the steps whose size is the one the solver's stability region allows."""
    blocks: int
    """Rows of the batch that do not see each other; 1 if they do."""


class Dependence(Record):
    """What reaches the loss."""

    unreached: list[str]
    """Parameters through which no gradient flows, of f (at five points of the trajectory) or of the
    loss."""
    without_gradient: list[str] = []
    """Those of them that are read all the same: compared with something, detached."""
    frozen: list[str] = []
    """Parameters of the module that do not require a gradient."""
    unregistered: list[str] = []
    """Tensors that f uses and that require a gradient, but are no parameters of it."""
    uses_time: bool
    declared_autonomous: bool | None = None
    unused_times: list[float] = []
    """Observation times whose state the loss does not depend on."""
    stationary: bool = False
    """Whether the loss depends on the states, and its derivative is exactly zero where they are."""


class Coupling(Record):
    """Rows of a batch that share their steps; errors in units of each row's own tolerance."""

    rows: int
    worst: int
    """Row with the largest error."""
    lead: Real
    """Median over the steps of its error over that of the typical row."""
    over: Real
    """Its largest error; above 1 it exceeds the tolerance."""
    share_alone: Real
    """Share of the steps that the typical row would take by itself."""


class Inspection(Record):
    """What f and the loss are like, apart from any solver."""

    repeatability: Repeatability
    derivatives: list[DerivativeMismatch] = []
    on_kinks: list[OnKink] = []
    """Where the trajectory does not cross a kink but stays on it."""
    switches: list[Switch] = []
    stability: Stability | None = None
    """Null where Jacobians are too large to take."""
    dependence: Dependence | None = None
    coupling: Coupling | None = None
    """Null if the state is no batch."""
