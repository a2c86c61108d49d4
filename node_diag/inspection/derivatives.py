"""Is what autograd says of f and the loss their derivative? Measured with values only.

A ``detach()`` too many, ``.data``, or a wrong backward formula makes every gradient method and the
sensitivity equations agree on a wrong gradient. Differences of f alone, at a few points of the
trajectory, are cheap and see it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from node_diag.errors import ProblemError
from node_diag.field import Field
from node_diag.gradients.vjp import derivatives
from node_diag.problem import Problem
from node_diag.records import DerivativeMismatch, label
from node_diag.references import ladder
from node_diag.references.base import Vector
from node_diag.solvers.integrate import Solution

POINTS = 5
"""Points of the trajectory at which f is looked at."""
MOST_TENSORS = 24
"""Parameter tensors that get a line of their own; of more, the largest ones."""
NOTICEABLE = 1e-5
"""Relative disagreement that is none of round-off, and ten bars of the differences besides."""
EPS = float(np.finfo(np.float64).eps)

Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class _Scalar:
    """wᵀ f(t, z, θ) or the loss, as a function of named tensors; ``size`` of its terms."""

    call: Callable[[Inputs], Tensor]
    inputs: Inputs
    size: float


def inspect(problem: Problem, solution: Solution) -> list[DerivativeMismatch]:
    """Derivatives that autograd gets wrong: one entry for each input of f, and for the loss.

    An input of f counts if it is wrong at two points of the trajectory, or at the only one: a kink
    may lie on one of them.

    Args:
        problem: float64, on the CPU.
        solution: where the trajectory is.
    """
    times = [*solution.grid.starts(), solution.grid.t1]
    chosen = np.unique(np.linspace(0, len(times) - 1, POINTS).astype(int))
    found: dict[str, list[DerivativeMismatch]] = {}
    for i in chosen:
        for one in _wrong_in_f(problem, times[i], solution.checkpoints[i].double().cpu()):
            found.setdefault(one.input, []).append(one)
    needed = min(2, len(chosen))
    wrong = [many[0] for many in found.values() if len(many) >= needed]
    return wrong + _wrong_in_loss(problem, solution.zs.detach().double().cpu())


def _wrong_in_f(problem: Problem, t: float, z: Tensor) -> list[DerivativeMismatch]:
    field = Field(problem)
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(z.shape, generator=generator, dtype=torch.float64)
    params = dict(sorted(problem.params.items(), key=lambda pair: -pair[1].numel())[:MOST_TENSORS])
    rest = {k: p.detach() for k, p in problem.params.items()}

    def call(inputs: Inputs) -> Tensor:
        own = {k.removeprefix("params."): v for k, v in inputs.items() if k.startswith("params.")}
        value = field.with_params({**rest, **own})(inputs["t"], inputs["z0"])
        return torch.dot(weights, value)

    inputs = {"z0": z, **{f"params.{k}": p.detach() for k, p in params.items()}}
    inputs["t"] = torch.tensor(t, dtype=torch.float64)
    try:
        with torch.no_grad():
            value = field(inputs["t"], z)
        size = float(torch.linalg.vector_norm(weights) * torch.linalg.vector_norm(value))
        return _compare("f", _Scalar(call, inputs, size), t)
    except ProblemError:
        return []


def _wrong_in_loss(problem: Problem, zs: Tensor) -> list[DerivativeMismatch]:
    # "zs" goes by the name of the state; parameters the loss uses itself are seen by the others.
    try:
        with torch.no_grad():
            size = abs(float(problem.loss_of(zs)))
        loss = _Scalar(lambda x: problem.loss_of(x["z0"]), {"z0": zs}, size)
        return _compare("loss", loss, problem.t1)
    except ProblemError:
        return []


def _compare(what: Literal["f", "loss"], scalar: _Scalar, t: float) -> list[DerivativeMismatch]:
    """One random line in each input: autograd against differences."""
    leaves = {name: x.clone().requires_grad_() for name, x in scalar.inputs.items()}
    with torch.enable_grad():
        value = scalar.call(leaves)
    gradients: Sequence[Tensor | None] = (
        derivatives(value, list(leaves.values())) if value.requires_grad else [None] * len(leaves)
    )
    generator = torch.Generator().manual_seed(1)
    lines = {
        name: torch.randn(x.shape, generator=generator, dtype=torch.float64)
        for name, x in scalar.inputs.items()
    }
    found: list[DerivativeMismatch] = []
    for (name, line), gradient in zip(lines.items(), gradients, strict=True):
        if not line.numel():
            continue
        line = line / torch.linalg.vector_norm(line)
        climbed = _differences(scalar, name, line)
        claimed = 0.0 if gradient is None else float((gradient * line).sum())
        measured, bar = float(climbed.value[0]), float(climbed.bar[0])
        gap = abs(claimed - measured)
        scale = max(abs(claimed), abs(measured))
        if math.isfinite(bar) and gap > 10 * bar and gap > NOTICEABLE * scale:
            shown = {"z0": "z" if what == "f" else "zs", "t": "t"}.get(name, label(name))
            found.append(
                DerivativeMismatch(
                    function=what, input=shown, t=t, autograd=claimed, differences=measured,
                    uncertainty=bar,
                )
            )  # fmt: skip
    return found


def _differences(scalar: _Scalar, name: str, line: Tensor) -> ladder.Ladder:
    base = scalar.inputs[name]
    reach = np.array([float(torch.linalg.vector_norm(base)) or 1.0])
    if name == "t":
        reach = np.array([max(1.0, abs(float(base)))])

    def quotients(lines: ladder.Lines, steps: Vector) -> tuple[Vector, Vector]:
        del lines
        found: list[float] = []
        sizes: list[float] = []
        with torch.no_grad():
            for step in steps * reach[0]:
                ends = [
                    float(scalar.call({**scalar.inputs, name: base + sign * step * line}))
                    for sign in (1, -1)
                ]
                found.append((ends[0] - ends[1]) / (2 * step))
                sizes.append(max(map(abs, ends)))
        return np.asarray(found), np.asarray(sizes)

    # A few dozen operations, each right to half an ulp of terms that may be larger than their sum.
    return ladder.climb(quotients, reach, 8 * EPS * scalar.size)
