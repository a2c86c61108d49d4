"""A call of torchdiffeq, as it was made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Autocast = tuple[str, torch.dtype]


@dataclass
class Call:
    """One call of torchdiffeq.

    Attributes:
        name: ``odeint`` or ``odeint_adjoint``.
        func, y0, t: its arguments; y0 and t cut from the graph, func as it was when the gradient
            arrived.
        arguments: its keyword arguments.
        number: it was the n-th call whose result can be differentiated.
        made: how many such calls there had been when its gradient arrived.
        leaves: of a function, the tensors it closes over that require a gradient, by name.
        values: what they were.
        computed: names of tensors that a module holds and that were computed from others; they are
            parameters of the module that is kept.
        prepared: as ``computed``, from the module's own parameters, in whose place they are.
        adjoint_params: names of the parameters it was told to differentiate; None: not told.
        counted: why its gradient is not that of what f holds, if the way to it is clear.
        changed: what of f had changed when the gradient arrived.
        kept: parameters whose gradient f has lost to what it keeps of an earlier evaluation.
        unknown: why f cannot be asked any more, if it cannot.
        reached: of f's first evaluation in an adjoint's backward pass its arguments, and whether it
            depended on each parameter.
        cotangents: ∂L/∂y at all times, for every part of a tuple state, once they have arrived.
        autocast: (device type, dtype) it ran under, if any.
        autocast_back: the same of its backward pass.
    """

    name: str
    func: Any
    y0: Any
    t: Tensor
    arguments: dict[str, Any]
    number: int = 0
    made: int = 0
    leaves: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    values: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    computed: list[str] = field(default_factory=list[str])
    prepared: list[str] = field(default_factory=list[str])
    adjoint_params: list[str] | None = None
    counted: str = ""
    changed: str = ""
    kept: list[str] = field(default_factory=list[str])
    unknown: str = ""
    reached: tuple[Tensor, Any, dict[str, bool]] | None = None
    cotangents: list[Tensor] = field(default_factory=list[Tensor])
    autocast: Autocast | None = None
    autocast_back: Autocast | None = None

    @property
    def is_adjoint(self) -> bool:
        """Whether its gradient comes from a second solve."""
        return self.name == "odeint_adjoint"

    @property
    def method(self) -> str:
        """Torchdiffeq's solver."""
        return self.arguments.get("method") or "dopri5"

    @property
    def options(self) -> dict[str, Any]:
        """Torchdiffeq's ``options``."""
        return self.arguments.get("options") or {}

    @property
    def checked_by(self) -> str:
        """The gradient method that makes this call again."""
        return "captured" if self.is_adjoint else "captured-backprop"
