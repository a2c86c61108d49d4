"""What a gradient method gave: its errors, cost, and what explains them."""

from __future__ import annotations

from typing import Literal

from node_diag.records.base import Real, Record, Verdict
from node_diag.records.gradients import ErrorRecord, Errors, GradientRecord
from node_diag.records.recommendation import Candidate
from node_diag.records.references import Reference


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


class Autocast(Record):
    """A captured call ran under it, as it does here; its error without, all else being the same."""

    dtype: str
    """To which it casts: ``bfloat16``."""
    without: Real | None = None
    uncertainty: Real | None = None


class OwnSteps(Record):
    """The steps of a library that solves by itself; they are not those of the check."""

    loss: Real
    """Of its own solve."""
    n_accepted: int
    n_rejected: int
    reference: Reference | None = None
    """The derivative of the steps it accepted, sizes constant; null if it claims nothing about
    them. The method's discrete error is against this one."""
    distance: ErrorRecord | None = None
    """That truth held against the continuous one."""


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
    reconstructs: bool = False
    """Whether it solves the state again backward in time (the adjoint does)."""
    own_steps: OwnSteps | None = None
    """Of a library's method."""
    loss: Real | None = None
    """Of its own forward pass."""
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
    autocast: Autocast | None = None
    """Of a captured call that ran under it."""
    accused: bool = False
    """Whether a finding of severity error is about its gradient."""
    verdict: Verdict = "info"
    """Of its gates; ``info`` without any."""
