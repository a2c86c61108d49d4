"""What f and the loss are like, apart from any solver."""

from __future__ import annotations

from typing import Literal

from node_diag.records.base import Real, Record


class Repeatability(Record):
    """What happened when f was evaluated three times at (t0, z0)."""

    spread: Real
    """Largest relative distance between the values."""
    uses_random_numbers: bool
    changed: list[str]
    """Buffers and attributes of func that evaluating it changed."""
    suspects: list[str]
    """Layers in training mode that draw random numbers or keep statistics."""


class DerivativeMismatch(Record):
    """Along a random line in one input, autograd and differences of values disagree."""

    function: Literal["f", "loss"]
    input: str
    """``z``, ``t``, ``zs`` (of the loss) or a parameter."""
    t: float
    autograd: Real
    differences: Real
    uncertainty: Real


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
    """Whether the state decides when it jumps; else the time alone does."""


class Inspection(Record):
    """What f and the loss are like, apart from any solver."""

    repeatability: Repeatability
    derivatives: list[DerivativeMismatch] = []
    switches: list[Switch] = []
