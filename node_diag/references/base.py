"""A reference gradient with its uncertainty, as numpy float64 vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from node_diag.gradients.base import Gradient
from node_diag.norms import norm
from node_diag.problem import Problem
from node_diag.records import label

if TYPE_CHECKING:
    from node_diag.references.taylor import TaylorLine

Vector = NDArray[np.float64]
Point = tuple[float, Vector]
"""t and z, (D,)."""
Kind = Literal["exact", "sensitivity", "finite-difference"]


@dataclass
class Reference:
    """Gradient in z0, the parameters and the times, flat and in that order.

    Attributes:
        value: (D + P + K + 1,).
        bar: absolute uncertainty of every entry.
        details: how it was obtained, as plain data.
        lines: the loss along a few lines, for Taylor tests of gradients.
        suspects: points at which it rests on a derivative of f that differences do not confirm.
    """

    kind: Kind
    value: Vector
    bar: Vector
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    lines: list[TaylorLine] = field(default_factory=list["TaylorLine"])
    suspects: list[Point] = field(default_factory=list[Point])


def slices(problem: Problem) -> dict[str, slice]:
    """Where z0, each parameter and ``ts`` lie in a flat gradient."""
    found = {"z0": slice(0, problem.layout.numel)}
    end = problem.layout.numel
    for name, p in problem.params.items():
        found[f"params.{name}"] = slice(end, end + p.numel())
        end += p.numel()
    found["ts"] = slice(end, end + len(problem.ts))
    return found


def entry_name(parts: Mapping[str, slice], index: int) -> str:
    """What an entry of a flat gradient is called: ``net.0.weight[17]``."""
    name, part = next((n, p) for n, p in parts.items() if p.start <= index < p.stop)
    return f"{label(name)}[{index - part.start}]"


def flatten(gradient: Gradient) -> Vector:
    """A method's gradient as one float64 vector: z0, parameters, times."""
    parts = [gradient.z0, *gradient.params.values(), gradient.ts]
    return np.concatenate([part.detach().double().cpu().numpy().ravel() for part in parts])


def flat_inputs(problem: Problem) -> Vector:
    """z0, parameters and times of the problem in the same order."""
    parts = [problem.flat_z0(), *(p.detach() for p in problem.params.values())]
    numbers = [part.double().cpu().numpy().ravel() for part in parts]
    return np.concatenate([*numbers, np.asarray(problem.ts)])


def assemble(z0: Vector, params: Mapping[str, Vector], ts: Vector) -> Vector:
    """One flat vector from its parts."""
    return np.concatenate([z0.ravel(), *(p.ravel() for p in params.values()), ts.ravel()])


def spread(difference: Vector) -> Vector:
    """Bars from the difference of two solves.

    An entry whose difference happens to be small is not known better than its neighbours: each
    bar is at least the root mean square of the differences of its block.
    """
    size = norm(difference) / math.sqrt(max(difference.size, 1))
    return np.maximum(np.abs(difference), size)
