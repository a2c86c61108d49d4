"""What a gradient method gave: its gradient, errors, cost, and what explains them."""

from __future__ import annotations

from typing import Literal

from node_diag.records.base import Real, Record, Verdict
from node_diag.records.recommendation import Candidate

LONGEST_LIST = 10_000
"""A longer gradient goes to arrays.npz; the list is null and ``arrays`` names the key."""


class GradientRecord(Record):
    """dL/dz0, dL/dt0, dL/dt1, dL/dts and dL/dθ. ``ts`` holds all times, t0 first and t1 last."""

    z0: list[Real] | None
    t0: Real
    t1: Real
    ts: list[Real] = []
    params: dict[str, list[Real] | None]
    arrays: dict[str, str] = {}
    """Key in arrays.npz of every null list: ``z0`` or ``params.<name>`` → key."""


class ParameterError(Record):
    """Error in one tensor (or in t0, t1)."""

    relative_l2: Real | None
    max_abs: Real
    uncertainty: Real | None = None
    """Of relative_l2, or of absolute_l2 where that is null."""
    absolute_l2: Real | None = None

    @property
    def judged(self) -> float | None:
        """The relative error, or the absolute one where the reference is zero."""
        return self.absolute_l2 if self.relative_l2 is None else self.relative_l2


class TimesError(ParameterError):
    """Error in dL/dts, all times as one vector: a single one may be zero by chance."""

    worst: str
    """The time that is off most: ``t0``, ``t1`` or ``ts[3]``."""


def time_name(index: int, length: int) -> str:
    """What the derivative in the time ts[index] of ``length`` is called."""
    return {0: "t0", length - 1: "t1"}.get(index, f"ts[{index}]")


class ErrorRecord(Record):
    """Distance of a gradient from a reference, over z0 and all parameters together."""

    relative_l2: Real | None
    """Null where the reference is zero within its uncertainty: then absolute_l2 is judged."""
    uncertainty: Real | None
    """Of relative_l2, or of absolute_l2 where that is null."""
    absolute_l2: Real
    max_abs: Real
    cosine: Real | None
    norm_ratio: Real | None
    by_parameter: dict[str, ParameterError]
    worst_tensor: str | None = None
    """The key of ``by_parameter`` whose relative error is largest for certain; never a time."""
    times: TimesError | None = None
    """Null where the reference knows no dL/dts."""

    @property
    def judged(self) -> float:
        """The relative error, or the absolute one where the reference is zero."""
        return self.absolute_l2 if self.relative_l2 is None else self.relative_l2


class Errors(Record):
    """Errors against the two truths; null where there is no such reference."""

    continuous: ErrorRecord | None
    discrete: ErrorRecord | None


class Reconstruction(Record):
    """How far the states a backward pass ran through are from the forward trajectory.

    Relative to the largest state norm of the forward trajectory; 0 for stored states.
    """

    max_error: Real
    initial_error: Real
    measured: bool = False
    """False: the states are stored, so the zero is by construction."""
    departure: float | None = None
    """Time at which the error first passes 1 %, coming from t1; null if it never does."""
    component: int | None = None
    """Entry of the flat state that is off most beside its own largest value, ``size``."""
    size: Real | None = None
    component_error: Real = 0.0
    """By how much, relative to that."""


class Cost(Record):
    """Counts and bytes are exact and repeatable; seconds are medians over ``repeats`` runs."""

    nfe_forward: int
    nfe_backward: int
    nvjp_backward: int
    """Vector–Jacobian products of f in the backward pass."""
    n_steps_backward: int
    saved_bytes: int
    peak_bytes: int
    graph_depth: int
    """Longest chain of autograd nodes a cotangent passes through, over the whole backward pass."""
    live_graph_depth: int
    """Longest path of the largest graph alive at one time."""
    forward_s: float
    backward_s: float
    repeats: int
    spread_s: float
    """Largest minus smallest total time."""


class TaylorTest(Record):
    """The loss of the frozen map along one line, beside what a gradient says of it."""

    line: str
    odd_part: Real
    """|a|: the error of g·v, relative to the size g·v typically has on such a line."""
    uncertainty: Real | None
    steps: list[float]
    remainders: list[Real]
    """|J(x + εv) − J(x) − ε g·v| at these steps ε."""
    rates: list[Real | None]
    """log2 of the ratio of neighbouring remainders: 2 for the right gradient, 1 for a wrong one."""


class SecondOrder(Record):
    """Hessian-vector product of a method along a random line, against differences of its gradient.

    Over z0 and all parameters, in float64.
    """

    reason: str = ""
    """Why there is none; everything else is null then."""
    differentiated: str = ""
    """What was differentiated twice."""
    error: ErrorRecord | None = None


class ErrorOrigin(Record):
    """Where along the backward pass the error against the continuous truth arises."""

    t: list[float]
    """From t1 to t0."""
    share: list[Real]
    """Of the error that has arisen between t1 and t; 1 at t0. Parts may cancel."""
    start: float
    end: float
    """The part of the interval, a tenth of it or one recorded step, in which most of it arises."""
    most: Real
    """Share that arises there."""


class StepSizeTerms(Record):
    """What differentiating the step-size search adds to the gradient of the accepted steps.

    Norms over z0 and all parameters, relative to the gradient of the accepted steps.
    """

    start: Real
    """By the starting step."""
    rejected: Real
    """By the factors after rejected trials."""
    accepted: Real
    """By the factors after accepted steps."""
    flipped: list[str]
    """Entries whose sign they turn around: ``mu[0]``."""


class NanOrigin(Record):
    """The evaluation of f at which the first NaN or infinity of a backward pass arises."""

    t: float
    step: int
    """Of the forward solve, counted from 0."""
    stage: int
    """Of that step, counted from 0."""
    inside_f: bool
    """Whether it is the derivative of f that is not finite there."""
    source: Literal["f", "loss", "method"] | None = None
    """What makes it: the derivative of f or of the loss, or the method, both being finite."""


class MethodRecord(Record):
    """One gradient method: its gradient, errors, cost and verdict."""

    name: str
    description: str = ""
    status: Literal["ok", "failed"]
    failure: str | None = None
    discrete: bool = True
    """Whether it claims the derivative of the accepted steps (the adjoint does not)."""
    constant_steps: bool = False
    """Whether it holds the step sizes constant while it does (naive does not)."""
    gradient: GradientRecord | None = None
    errors: Errors | None = None
    reconstruction: Reconstruction | None = None
    cost: Cost | None = None
    taylor: list[TaylorTest] = []
    second_order: SecondOrder | None = None
    """With ``--order 2``."""
    error_origin: ErrorOrigin | None = None
    """Of a method with a visible error, if its backward pass was followed."""
    step_size_terms: StepSizeTerms | None = None
    """Of naive, where they are visible."""
    nan_origin: NanOrigin | None = None
    """If the gradient is not finite, or a reverse-time solve ended without one."""
    tightened: list[Candidate] = []
    """Of an adjoint that is off although its state is right: runs at tighter tolerances."""
    accused: bool = False
    """Whether a finding of severity error is about its gradient."""
    verdict: Verdict = "info"
    """Of its gates; ``info`` without any."""
