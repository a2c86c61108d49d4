"""Is what autograd says of f and the loss their derivative? Measured with values only.

A ``detach()`` too many, ``.data``, or a wrong backward formula makes every gradient method and the
sensitivity equations agree on a wrong gradient. Differences of f alone, at a few points of the
trajectory, are cheap and see it; so do those at the points at which a reference has its doubts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from node_diag.errors import ProblemError
from node_diag.field import Field
from node_diag.gradients.vjp import derivatives
from node_diag.inspection.nudges import moved
from node_diag.problem import Problem
from node_diag.records import DerivativeMismatch, OnKink, label
from node_diag.references import ladder
from node_diag.references.base import Point, Vector
from node_diag.solvers.solution import Solution

POINTS = 5
"""Points of the trajectory at which f is looked at."""
MOST_TENSORS = 24
"""Parameter tensors that get a line of their own; the smaller ones of more have one together."""
REST = "the other parameters"
NOTICEABLE = 1e-5
"""Relative disagreement that is none of round-off, and ten bars of the differences besides."""
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class _Scalar:
    """wᵀ f(t, z, θ) or the loss, as a function of the tensors it is moved in, where they are.

    ``groups`` are the tensors that are moved together, by what they are called; ``size`` is that
    of the terms of the sum.
    """

    call: Callable[[], Tensor]
    groups: dict[str, list[Tensor]]
    size: float


def inspect(problem: Problem, solution: Solution) -> tuple[list[DerivativeMismatch], list[OnKink]]:
    """Derivatives that autograd gets wrong, and those that do not exist, by input.

    An input of f counts if it is so at two points of the trajectory, or at the only one: one alone
    may be a crossing. What is found at a single point is looked for next to it as well.

    Args:
        problem: float64, on the CPU.
        solution: where the trajectory is.
    """
    mine = problem.to(problem.dtype, problem.device, copy=True)  # parameters to move about
    times = [*solution.grid.starts(), solution.grid.t1]
    states = [z.double().cpu() for z in solution.checkpoints]
    chosen = np.unique(np.linspace(0, len(times) - 1, POINTS).astype(int)).tolist()
    found: dict[Key, list[Found]] = {}
    where: dict[Key, int] = {}
    for i in chosen:
        for one in _in_f(mine, times[i], states[i]):
            found.setdefault(_key(one), []).append(one)
            where[_key(one)] = i
    for key, i in where.items():
        near = [j for j in (i - 1, i + 1) if 0 <= j < len(times) and j not in chosen]
        if len(found[key]) == 1 and near:
            again = [one for j in near for one in _in_f(mine, times[j], states[j])]
            found[key] += [one for one in again if _key(one) == key]
    needed = min(2, len(times))
    every = [many[0] for many in found.values() if len(many) >= needed]
    every += _in_loss(mine, solution.zs.detach().double().cpu())
    wrong = [one for one in every if isinstance(one, DerivativeMismatch)]
    return wrong, [one for one in every if isinstance(one, OnKink)]


def look_closer(problem: Problem, suspects: Sequence[Point]) -> list[DerivativeMismatch]:
    """Derivatives that autograd gets wrong at two of the points that a reference doubted at least.

    Args:
        problem: float64, on the CPU.
        suspects: from :class:`node_diag.references.screen.Screen`.
    """
    mine = problem.to(problem.dtype, problem.device, copy=True)
    first: dict[str, DerivativeMismatch] = {}
    for t, z in suspects:
        wrong = [
            x for x in _in_f(mine, t, torch.from_numpy(z)) if isinstance(x, DerivativeMismatch)
        ]
        if again := [first[one.input] for one in wrong if one.input in first]:
            return again
        first |= {one.input: one for one in wrong}
    return []


Found = DerivativeMismatch | OnKink
Key = tuple[type[Found], str]


def _key(one: Found) -> Key:
    return type(one), one.input


def _in_f(problem: Problem, t: float, z: Tensor) -> list[Found]:
    field = Field(problem)
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(z.shape, generator=generator, dtype=torch.float64)
    state, time = z.clone(), torch.tensor(t, dtype=torch.float64)
    params = sorted(problem.params.items(), key=lambda pair: -pair[1].numel())
    groups = {"z": [state], **{label(name): [p] for name, p in params[:MOST_TENSORS]}}
    if rest := params[MOST_TENSORS:]:
        groups[REST] = [p for _, p in rest]
    groups["t"] = [time]
    scalar = _Scalar(lambda: torch.dot(weights, field(time, state)), groups, 0.0)
    try:
        with torch.no_grad():
            value = field(time, state)
        size = float(torch.linalg.vector_norm(weights) * torch.linalg.vector_norm(value))
        found = _compare("f", replace(scalar, size=size), t)
        if any(one.input == REST for one in found):
            each = {label(name): [p] for name, p in rest}
            found = [one for one in found if one.input != REST]
            found += _compare("f", replace(scalar, size=size, groups=each), t)
        return found
    except ProblemError:
        return []


def _in_loss(problem: Problem, zs: Tensor) -> list[Found]:
    """In the states, and in the parameters that the loss uses itself."""
    states = zs.clone()
    try:
        with torch.no_grad():
            size = abs(float(problem.loss_of(states)))
        groups = {"zs": [states], **{label(name): [p] for name, p in problem.params.items()}}
        used = _used(problem, states)
        groups = {name: group for name, group in groups.items() if name == "zs" or name in used}
        return _compare("loss", _Scalar(lambda: problem.loss_of(states), groups, size), problem.t1)
    except ProblemError:
        return []


def _used(problem: Problem, states: Tensor) -> set[str]:
    """Parameters that move the loss at fixed states, whatever autograd says of it."""
    with torch.no_grad():
        here = float(problem.loss_of(states))
        found: set[str] = set()
        for name, p in problem.params.items():
            with moved([p], [torch.ones_like(p) * 1e-3]):
                if float(problem.loss_of(states)) != here:
                    found.add(label(name))
    return found


def _compare(what: Literal["f", "loss"], scalar: _Scalar, t: float) -> list[Found]:
    """One random line in each group: autograd against differences."""
    claims = _claims(scalar)
    generator = torch.Generator().manual_seed(1)
    found: list[Found] = []
    for name, group in scalar.groups.items():
        lines = [torch.randn(x.shape, generator=generator, dtype=torch.float64) for x in group]
        length = math.sqrt(sum(float(line.square().sum()) for line in lines))
        if not length:
            continue
        lines = [line / length for line in lines]
        try:
            climbed = _differences(scalar, name, lines)
        except ProblemError:  # f may not be defined next to some of its inputs
            continue
        pairs = zip(claims[name], lines, strict=True)
        claimed = sum(0.0 if g is None else float((g * line).sum()) for g, line in pairs)
        measured, bar = float(climbed.value[0]), float(climbed.bar[0])
        kink = float(climbed.kink[0])
        if kink and name != "t":  # neither z0 nor the parameters are reached through the time
            slopes = (measured - kink, measured + kink)
            found.append(OnKink(function=what, input=name, t=t, slopes=slopes))
            continue
        gap = abs(claimed - measured)
        scale = max(abs(claimed), abs(measured))
        if math.isfinite(bar) and gap > 10 * bar and gap > NOTICEABLE * scale:
            found.append(
                DerivativeMismatch(
                    function=what, input=name, t=t, autograd=claimed, differences=measured,
                    uncertainty=bar,
                )
            )  # fmt: skip
    return found


def _claims(scalar: _Scalar) -> Mapping[str, list[Tensor | None]]:
    """What autograd says of every tensor."""
    flat = [x for group in scalar.groups.values() for x in group]
    needing = [x.requires_grad for x in flat]
    for x in flat:
        x.requires_grad_()
    try:
        with torch.enable_grad():
            value = scalar.call()
        found = derivatives(value, flat) if value.requires_grad else [None] * len(flat)
    finally:
        for x, needed in zip(flat, needing, strict=True):
            x.requires_grad_(needed)
    rest = iter(found)
    return {name: [next(rest) for _ in group] for name, group in scalar.groups.items()}


def _differences(scalar: _Scalar, name: str, lines: Sequence[Tensor]) -> ladder.Ladder:
    group = scalar.groups[name]
    reach = np.array([math.sqrt(sum(float(x.detach().square().sum()) for x in group)) or 1.0])
    if name == "t":
        reach = np.array([max(1.0, abs(float(group[0])))])

    with torch.no_grad():
        middle = float(scalar.call())

    def quotients(rows: ladder.Lines, steps: Vector) -> ladder.Taken:
        del rows
        ends = np.empty((2, steps.size))
        for i, step in enumerate(steps * reach[0]):
            for side, sign in enumerate((1, -1)):
                with moved(group, [sign * step * line for line in lines]), torch.no_grad():
                    ends[side, i] = float(scalar.call())
        return ladder.taken(ends[0], ends[1], 2 * steps * reach[0], middle)

    # A few dozen operations, each right to half an ulp of terms that may be larger than their sum,
    # of inputs that are themselves right to half an ulp.
    first = quotients(np.zeros(1, int), np.array([ladder.step(0)]))
    slope = abs(float(first.difference[0])) + abs(float(first.bend[0]))
    size = np.nanmax([scalar.size, slope * reach[0]])
    return ladder.climb(quotients, reach, 8 * EPS * size)
