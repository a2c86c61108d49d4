"""Does f give the same value for the same (t, z), does the loss, is the module left as it was?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from node_diag.field import Field
from node_diag.inspection.casts import loss_rounds, narrow_type, rounds_inside
from node_diag.problem import Problem
from node_diag.records import Repeatability

_RANDOM = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.RReLU,
)


RARE = 300
"""Evaluations in which something that draws random numbers has to differ: a switch that is thrown
once in twenty goes unseen in one of five million checks."""


def inspect(problem: Problem) -> Repeatability:
    """Evaluate f at (t0, z0) three times, once with another point in between, and the loss twice.

    What draws random numbers and gives the same nevertheless is evaluated more often.

    Must be called before anything else has evaluated f: what changes in the module is noted.
    """
    f = Field(problem)
    z0 = problem.flat_z0()
    t0 = torch.tensor(problem.t0, dtype=problem.dtype, device=problem.device)
    before, random_before = _state(problem.func), torch.get_rng_state()
    with torch.no_grad():
        first = f(t0, z0).detach().clone()
        second = f(t0, z0).detach().clone()
        elsewhere = f(t0, z0 * (1 + 1e-3) + 1e-3).detach().clone()
        third = f(t0, z0).detach().clone()
        states = z0.repeat(len(problem.ts) - 1, 1)
        spread = max(_distance(first, second), _distance(first, third))
        random_between = torch.get_rng_state()
        if not (spread or torch.equal(random_before, random_between)):
            spread = _rare_spread(first, lambda: f(t0, z0))
            random_between = torch.get_rng_state()
        losses = [problem.loss_of(states).detach().clone() for _ in range(2)]
        loss_spread = _distance(*losses)
        if not (loss_spread or torch.equal(random_between, torch.get_rng_state())):
            loss_spread = _rare_spread(losses[0], lambda: problem.loss_of(states))
    changed = [
        name for name, value in _state(problem.func).items() if _differs(before, name, value)
    ]
    return Repeatability(
        spread=spread,
        loss_spread=loss_spread,
        uses_random_numbers=not torch.equal(random_before, torch.get_rng_state()),
        changed=changed,
        mutated=problem.mutated,
        kept=problem.kept,
        suspects=_suspects(problem.func),
        # A constant (a last layer that starts at zero) may well have few digits and no cast.
        single_precision=(
            not torch.equal(first, elsewhere) and _is_single(first) and _is_single(elsewhere)
        )
        or (not spread and rounds_inside(problem)),
        single_precision_loss=loss_rounds(problem),
        narrow_type=None if spread else narrow_type(problem),
    )


def _rare_spread(first: Tensor, again: Callable[[], Tensor]) -> float:
    """How far the first of many values that differs is from another one; 0 if none does."""
    spreads = (_distance(first, again()) for _ in range(RARE))
    return next((spread for spread in spreads if spread), 0.0)


def _is_single(x: Tensor) -> bool:
    """Whether double-precision numbers, not all of them zero, have the digits of single ones."""
    if x.dtype != torch.float64 or not bool(x.any()):
        return False
    # Round numbers of few digits are single precision by themselves; one that is not is enough.
    few = x.abs().log2().floor().exp2() * 2.0**-8
    return torch.equal(x.float().double(), x) and bool((torch.remainder(x, few) != 0).any())


def _distance(a: Tensor, b: Tensor) -> float:
    size = float(torch.linalg.vector_norm(a))
    distance = float(torch.linalg.vector_norm(a - b))
    return distance / size if size and distance else distance


def _state(func: Any) -> dict[str, Any]:
    """Buffers and plain attributes of a module and its parts, or those of a callable object."""
    if not isinstance(func, nn.Module):
        return {k: v for k, v in getattr(func, "__dict__", {}).items() if _is_plain(v)}
    found: dict[str, Any] = {name: b.detach().clone() for name, b in func.named_buffers()}
    for path, module in func.named_modules():
        prefix = f"{path}." if path else ""
        found |= {f"{prefix}{k}": v for k, v in vars(module).items() if _is_plain(v)}
    return found


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float | str | bool)


def _differs(before: dict[str, Any], name: str, value: Any) -> bool:
    old = before.get(name)
    if isinstance(value, Tensor) and isinstance(old, Tensor):
        return not torch.equal(value, old)
    return old != value


def _suspects(func: Any) -> list[str]:
    """Layers in training mode that draw random numbers or keep statistics: ``net.1 (Dropout)``."""
    if not isinstance(func, nn.Module):
        return []
    return [
        f"{path or 'f'} ({type(module).__name__})"
        for path, module in func.named_modules()
        if module.training and (isinstance(module, _RANDOM) or _keeps_statistics(module))
    ]


def _keeps_statistics(module: nn.Module) -> bool:
    return bool(getattr(module, "track_running_stats", False))
