"""Does f go through fewer digits than its state has on its way to its value?

Differences of f over less than a float32 quantum see a staircase: flat where the cast is, so that
they miss its share of the derivative to the last digit and without any noise. No step size helps,
and none shows it. So every such operation is followed once: what it returns is moved by a few
roundings, and if that moves f, f has seven digits, or the three of bfloat16.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from node_diag.errors import ProblemError
from node_diag.field import Field
from node_diag.measure.operations import Operations
from node_diag.problem import Problem

ELSEWHERE = 0.37
"""Part of the interval at which f is looked at: t0 is often zero, and zero has no rounding."""
VISIBLE = 1e-13
"""Relative change of f below which a cast does not matter: a few hundred roundings of float64."""
ROUNDINGS = 8
"""So many that those of the operations that follow do not take them back."""
NEAR, FAR = 2.0**-40, 2.0**-18
"""Relative to t, below and above a float32 quantum: an f of t's digits that sees FAR as it moves by
more than VISIBLE · FAR / NEAR = 4e-7 sees NEAR as well."""
NARROW = 1e-5
"""The same in float32: a hundred roundings. ROUNDINGS of float16 are 8e-3 of what goes through."""
_CASTS = (torch.ops.aten._to_copy, torch.ops.aten.copy_)


class _Rounding(Operations):
    """Moves what has fewer digits than it was given by a few roundings, some up and some down.

    By a cast, or by promotion: float32 of some dimensions times a float64 of none is float32.
    Not all in one direction: a norm that is divided by would take that out again.

    Attributes:
        narrowest: type with the fewest digits that anything had; None if nothing lost any.
    """

    def __init__(self) -> None:
        super().__init__()
        self.narrowest: torch.dtype | None = None

    def done(self, func: Any, args: tuple[Any, ...], found: Any) -> None:
        """What loses digits returns something else from now on."""
        if not _loses_digits(func, args, found):
            return
        if self.narrowest is None or _epsilon(found.dtype) > _epsilon(self.narrowest):
            self.narrowest = found.dtype
        turns = torch.ones(found.numel(), dtype=found.dtype, device=found.device)
        turns[::3] = -1
        by = ROUNDINGS * _epsilon(found.dtype) * turns.reshape(found.shape)
        if func.overloadpacket is torch.ops.aten._to_copy:
            by = torch.where(found == args[0], 0.0, by)  # a mask of zeros and ones loses nothing
        found.mul_(1 + by)


class _Autocast(TorchFunctionMode):
    """Sees the type of an autocast that is entered, which a mode below the dispatcher does not."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device
        self.dtype: torch.dtype | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if torch.is_autocast_enabled(self.device):
            self.dtype = torch.get_autocast_dtype(self.device)
        return func(*args, **(kwargs or {}))


def _loses_digits(func: Any, args: tuple[Any, ...], out: Any) -> bool:
    if not isinstance(out, Tensor) or not out.is_floating_point() or out.dtype == torch.float64:
        return False
    given = {x.dtype for x in args if isinstance(x, Tensor) and x.is_floating_point()}
    wider = any(_epsilon(dtype) < _epsilon(out.dtype) for dtype in given)
    # Not: ones_like and its kin, which make no use of the values.
    return wider and (func.overloadpacket in _CASTS or out.dtype in given)


def _epsilon(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps


def narrow_type(problem: Problem) -> str | None:
    """``bfloat16``, say, if f of a float32 state computes in it, and that moves its value.

    Autocast leaves float64 alone, so that no evaluation in it shows this. Of a float64 state it is
    the type of an autocast that f enters.
    """
    f, z0 = Field(problem), problem.flat_z0()
    t = z0.new_tensor(problem.t0 + ELSEWHERE * (problem.t1 - problem.t0))
    z = z0 * (1 + 1e-3) + 1e-3
    try:
        with torch.no_grad():
            with _Autocast(problem.device.type) as autocast:
                plain = f(t, z).clone()
            with _Rounding() as rounding:
                moved = f(t, z).clone()
    except ProblemError:  # f may not be defined there, or not be looked into
        return None
    if problem.dtype == torch.float64:
        found = autocast.dtype
    else:
        size = torch.linalg.vector_norm(plain)
        moves = bool(torch.linalg.vector_norm(moved - plain) > NARROW * size)
        found = rounding.narrowest if moves else None
    return None if found is None else str(found).removeprefix("torch.")


def loss_rounds(problem: Problem) -> bool:
    """Whether the loss of float64 states has fewer digits than they have."""
    precise = problem.to(torch.float64, torch.device("cpu"))
    states = (precise.flat_z0() * (1 + 1e-3) + 1e-3).repeat(len(precise.ts) - 1, 1)
    try:
        with torch.no_grad():
            plain = precise.loss_of(states).clone()
            with _Rounding() as rounding:
                moved = precise.loss_of(states).clone()
    except ProblemError:
        return False
    if plain.dtype != torch.float64:
        return True
    return rounding.narrowest is not None and bool((moved - plain).abs() > VISIBLE * plain.abs())


def rounds_inside(problem: Problem) -> bool:
    """Whether f rounds to fewer digits than those of a float64 state on a path to its value."""
    precise = problem.to(torch.float64, torch.device("cpu"))
    f, z0 = Field(precise), precise.flat_z0()
    t = torch.tensor(problem.t0 + ELSEWHERE * (problem.t1 - problem.t0), dtype=torch.float64)
    z = z0 * (1 + 1e-3) + 1e-3
    try:
        with torch.no_grad():
            plain = f(t, z).clone()
            with _Rounding() as rounding:
                moved = f(t, z).clone()
            near, far = (f(t * (1 + by), z).clone() for by in (NEAR, FAR))
    except ProblemError:  # f may not be defined there, or not be looked into
        return False
    size = torch.linalg.vector_norm(plain)
    apart = torch.linalg.vector_norm(moved - plain)
    if rounding.narrowest is not None and bool(apart > VISIBLE * size):
        return True
    # As torch.tensor([float(t)]) does: no operation is given both.
    return torch.equal(near, plain) and bool(
        torch.linalg.vector_norm(far - plain) > VISIBLE * FAR / NEAR * size
    )
