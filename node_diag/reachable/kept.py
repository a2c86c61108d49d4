"""What f keeps of its first evaluation: a weight that is computed once, a cache.

No gradient flows through what was computed without a graph. A solve that evaluates f so, as the
forward pass of an adjoint, a validation loop, or whoever looks at f first, takes from what f keeps
its gradient, and nobody is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from node_diag import random_numbers
from node_diag.reachable.before import Before, untouched
from node_diag.reachable.graphs import ends_of

Dynamics = Callable[[Tensor, Any], Any]
Spot = tuple[Tensor, Any]
ROUNDINGS = 100
"""Units in the last place of its largest entry that f may differ by where it is the same: those of
another order of summation, in a copy or on another number of cores."""


def spots(t0: Tensor, t1: Tensor | float, y: Any) -> list[Spot]:
    """Where f is asked: at a state, and away from it in time and in state.

    At the initial one a part of f may be nothing (z0 = 0, a factor t, a ReLU that is closed).
    """
    here = _copy(t0), _copy(y)
    away = [_copy(t0) + (float(t1) - float(t0)) * share for share in (0.5, 1.0)]
    return [here, (away[0], _moved(y, 1.0)), (away[1], _moved(y, -1.0))]


def lost(
    func: Dynamics, asked: Sequence[Spot], params: Mapping[str, Tensor], before: Before
) -> list[str]:
    """Parameters in which f has less of a gradient once it was evaluated without one.

    It is evaluated as it was before, with a graph at once and after evaluations without: if it
    gives the same value and another gradient, it keeps what it computes.

    Args:
        func: f.
        asked: points from :func:`spots`; the first at which something is lost is enough.
        params: what it is differentiated in, by name.
        before: what f held before it was evaluated. Where it holds the same now it keeps nothing.
    """
    return next(_losses(func, asked, params, before), (None, None, list[str]()))[2]


def still_lost(
    func: Dynamics, asked: Sequence[Spot], params: Mapping[str, Tensor], before: Before
) -> list[str]:
    """Those of :func:`lost` that f as it is now does not have.

    It may keep them with a graph; not if the value is another by now.
    """
    for spot, fresh, names in _losses(func, asked, params, before):
        with untouched(func), random_numbers.kept(), torch.enable_grad():
            value = _flat(func(*map(_copy, spot)))
        ends = ends_of([value], ()) if before.has_new_graphs() and _agree(value, fresh) else {}
        if left := [name for name in names if id(params[name]) not in ends]:
            return left
    return []


def _losses(
    func: Dynamics, asked: Sequence[Spot], params: Mapping[str, Tensor], before: Before
) -> Iterator[tuple[Spot, Tensor, list[str]]]:
    """Points at which something is lost, the value there, and in what."""
    if not params or before.is_same():
        return
    values = [(p, p.detach().clone()) for p in params.values()]
    try:
        for i, spot in enumerate(asked):
            with suppress(Exception):  # an f that autograd cannot go through, or not defined there
                value, names = _lost_at(func, (spot, asked[i - 1]), params, before)
                if names:
                    yield spot, value, names
    finally:
        for p, was in values:  # a layer may set itself up by the first state that it sees
            if not torch.equal(p, was):
                p.data.copy_(was)


def _lost_at(
    func: Dynamics, seen: tuple[Spot, Spot], params: Mapping[str, Tensor], before: Before
) -> tuple[Tensor, list[str]]:
    """At the first of two points, both of which f has seen without a graph, the second one last.

    What is kept for one time only, as the embedding of the last one, is computed anew.
    """
    spot = seen[0]
    with before.again():
        value, at_once = _derivatives(func, spot, params)
    with before.again():
        with random_numbers.kept(), torch.no_grad():
            for one in seen:
                func(*map(_copy, one))
        same, after = _derivatives(func, spot, params)
    if not _agree(value, same):
        return value, []
    eps = torch.finfo(value.dtype).eps
    largest = max((float(g.abs().max()) for g in at_once.values() if g is not None), default=0.0)
    return value, [n for n in params if _is_less(after[n], at_once[n], eps, largest)]


def _is_less(after: Tensor | None, at_once: Tensor | None, eps: float, largest: float) -> bool:
    """Not where a norm has left of a gradient nothing but what the others' roundings make."""
    if at_once is None:
        return False
    distance = _distance(at_once, torch.zeros_like(at_once) if after is None else after)
    own = float(at_once.abs().max())
    return distance > max(eps**0.5 * own, ROUNDINGS * eps * largest)


def _derivatives(
    func: Dynamics, spot: Spot, params: Mapping[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor | None]]:
    """The value, flat, and its product with a fixed cotangent differentiated."""
    with random_numbers.kept(), torch.enable_grad():
        flat = _flat(func(*map(_copy, spot)))
        if not flat.requires_grad:
            return flat, dict.fromkeys(params)
        cotangent = 1 + _wave(flat) / 2
        grads = torch.autograd.grad(
            flat, list(params.values()), cotangent, retain_graph=True, allow_unused=True
        )
    return flat.detach(), dict(zip(params, grads, strict=True))


def _wave(x: Tensor) -> Tensor:
    """Fixed numbers between -1 and 1, none like its neighbours."""
    return torch.arange(1, x.numel() + 1, device=x.device).to(x.dtype).cos().reshape(x.shape)


def _moved(y: Any, sign: float) -> Any:
    """Another state of the same size, or of size 1 where this one is small."""
    if isinstance(y, tuple | list):
        return tuple(_moved(part, sign) for part in y)
    size = max(float(y.detach().abs().max()), 1.0) if y.numel() else 1.0
    return y.detach() + sign * size / 2 * _wave(y)


def _copy(x: Any) -> Any:
    """An argument that f may do with as it likes."""
    return tuple(map(_copy, x)) if isinstance(x, tuple | list) else x.detach().clone()


def _flat(value: Any) -> Tensor:
    parts = value if isinstance(value, tuple | list) else (value,)
    return torch.cat([part.reshape(-1) for part in parts])


def _agree(a: Tensor, b: Tensor) -> bool:
    limit = ROUNDINGS * torch.finfo(a.dtype).eps * float(a.detach().abs().max())
    return a.shape == b.shape and _distance(a, b) <= limit


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a.detach() - b.detach()).abs().max())
