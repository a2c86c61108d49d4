"""What f keeps of its first evaluation: a weight that is computed once, a cache.

No gradient flows through what was computed without a graph. A solve that evaluates f so, as the
forward pass of an adjoint, a validation loop, or whoever looks at f first, takes from what f keeps
its gradient, and nobody is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from node_diag import random_numbers
from node_diag.reachable.before import Before, untouched
from node_diag.reachable.graphs import ends_of

ROUNDINGS = 100
"""Units in the last place of its largest entry that f may differ by where it is the same: those of
another order of summation, in a copy or on another number of cores."""


def lost(
    func: Callable[..., Any], t: Tensor, y: Any, params: Mapping[str, Tensor], before: Before
) -> list[str]:
    """Parameters in which ``func(t, y)`` has less of a gradient once it was evaluated without one.

    It is evaluated as it was before, with a graph at once and after an evaluation without: if it
    gives the same value and another gradient, it keeps what it computes.

    Args:
        func: f.
        t: a time.
        y: a state, or a tuple of parts.
        params: what it is differentiated in, by name.
        before: what f held before it was evaluated. Where it holds the same now it keeps nothing.
    """
    if not params or before.is_same():
        return []
    values = [(p, p.detach().clone()) for p in params.values()]
    try:
        with before.again():
            value, at_once = _derivatives(func, t, y, params)
        with before.again():
            with random_numbers.kept(), torch.no_grad():
                func(*_fresh(t, y))
            same, after = _derivatives(func, t, y, params)
    except Exception:  # an f that autograd cannot go through
        return []
    finally:
        for p, was in values:  # a layer may set itself up by the first state that it sees
            if not torch.equal(p, was):
                p.data.copy_(was)
    eps = torch.finfo(value.dtype).eps
    if not _distance(value, same) <= ROUNDINGS * eps * float(value.abs().max()):
        return []
    largest = max((float(g.abs().max()) for g in at_once.values() if g is not None), default=0.0)
    return [n for n in params if _is_less(after[n], at_once[n], eps, largest)]


def still_lost(
    func: Callable[..., Any], t: Tensor, y: Any, params: Mapping[str, Tensor], before: Before
) -> list[str]:
    """Those of :func:`lost` that f as it is now does not have, which may keep them with a graph."""
    names = lost(func, t, y, params, before)
    if not names:
        return []
    with untouched(func), random_numbers.kept(), torch.enable_grad():
        ends = ends_of(_parts(func(*_fresh(t, y))), ())
    graphs = before.has_new_graphs()
    return [name for name in names if not (graphs and id(params[name]) in ends)]


def _is_less(after: Tensor | None, at_once: Tensor | None, eps: float, largest: float) -> bool:
    """Not where a norm has left of a gradient nothing but what the others' roundings make."""
    if at_once is None:
        return False
    distance = _distance(at_once, torch.zeros_like(at_once) if after is None else after)
    own = float(at_once.abs().max())
    return distance > max(eps**0.5 * own, ROUNDINGS * eps * largest)


def _derivatives(
    func: Callable[..., Any], t: Tensor, y: Any, params: Mapping[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor | None]]:
    """The value, flat, and its product with a fixed cotangent differentiated."""
    with random_numbers.kept(), torch.enable_grad():
        flat = torch.cat([part.reshape(-1) for part in _parts(func(*_fresh(t, y)))])
        if not flat.requires_grad:
            return flat, dict.fromkeys(params)
        cotangent = 1 + torch.arange(len(flat), dtype=flat.dtype, device=flat.device).cos() / 2
        grads = torch.autograd.grad(
            flat, list(params.values()), cotangent, retain_graph=True, allow_unused=True
        )
    return flat.detach(), dict(zip(params, grads, strict=True))


def _fresh(t: Tensor, y: Any) -> tuple[Tensor, Any]:
    """Arguments that f may do with as it likes."""
    cut = tuple(x.detach().clone() for x in y) if isinstance(y, tuple) else y.detach().clone()
    return t.detach().clone(), cut


def _parts(value: Any) -> Sequence[Tensor]:
    return value if isinstance(value, tuple | list) else (value,)


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())
