"""The table of methods: what its columns are called and hold, wherever it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from node_diag.outputs.numbers import NOTHING, count, duration, scientific, size
from node_diag.outputs.verdict import error_text, method_word
from node_diag.records import Cost, MethodRecord


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        heading: what stands above it, and what a terminal calls it when it leaves it out.
        cell: its text for one method.
        is_number: whether it is set flush right.
    """

    heading: str
    cell: Callable[[MethodRecord], str]
    is_number: bool = True


def _cost(show: Callable[[Cost], str]) -> Callable[[MethodRecord], str]:
    return lambda method: show(method.cost) if method.cost else NOTHING


def _reconstruction(method: MethodRecord) -> str:
    if method.reconstruction is None:
        return NOTHING
    if not method.reconstruction.measured:
        return "stored"
    return scientific(method.reconstruction.max_error)


METHOD = Column("method", lambda m: m.name, is_number=False)
VERDICT = Column("verdict", method_word, is_number=False)
CONTINUOUS = Column(
    "vs continuous truth",
    lambda m: error_text(m.errors.continuous if m.errors else None),
)
DISCRETE = Column(
    "vs discrete truth",
    lambda m: error_text(m.errors.discrete if m.errors else None),
)
RECONSTRUCTION = Column("state error", _reconstruction)
NFE = Column(
    "nfe fwd + bwd",
    _cost(lambda c: f"{count(c.nfe_forward)} + {count(c.nfe_backward)}"),
)
SAVED = Column("saved", _cost(lambda c: size(c.saved_bytes)))
TIME = Column("time", _cost(lambda c: duration(c.forward_s + c.backward_s)))

COLUMNS = (METHOD, VERDICT, CONTINUOUS, DISCRETE, RECONSTRUCTION, NFE, SAVED, TIME)
"""From the one that matters most; the last ones are the first to go where there is no room."""
ALWAYS = 3
"""Columns that are shown however narrow the terminal."""
