"""A call of torchdiffeq, as it was made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class Call:
    """One call of torchdiffeq.

    Attributes:
        name: ``odeint`` or ``odeint_adjoint``.
        func, y0, t: its arguments; y0 and t cut from the graph.
        arguments: its keyword arguments.
        number: it was the n-th call whose result can be differentiated.
        adjoint_params: names of the parameters it was told to differentiate; empty: all.
        cotangents: ∂L/∂y at all times, for every part of a tuple state, once they have arrived.
    """

    name: str
    func: Any
    y0: Any
    t: Tensor
    arguments: dict[str, Any]
    number: int
    adjoint_params: list[str] = field(default_factory=list[str])
    cotangents: list[Tensor] = field(default_factory=list[Tensor])

    @property
    def is_adjoint(self) -> bool:
        """Whether its gradient comes from a second solve."""
        return self.name == "odeint_adjoint"

    @property
    def method(self) -> str:
        """Torchdiffeq's solver."""
        return self.arguments.get("method") or "dopri5"
