"""Hold on to the f of a call: as it is, its parameters, and which of them are differentiated."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from node_diag.capturing.call import Call
from node_diag.capturing.later import autocast, cut
from node_diag.capturing.leaves import copy_of, held_by, leaves_of, moments
from node_diag.capturing.twice import counted
from node_diag.reachable.before import Before
from node_diag.reachable.containers import tensors_in
from node_diag.reachable.graphs import sources_of
from node_diag.reachable.kept import spots, still_lost
from node_diag.reachable.names import named_in


def kept(call: Call, func: Any, before: Before) -> list[str]:
    """Parameters whose gradient f has lost to what it keeps of an earlier evaluation."""
    named = {id(p): n for n, p in named_in(func)}  # one that has several has the nearest
    leaves = {id(p): p for _, p in named_in(func) if p.requires_grad and p.is_leaf}
    params = {named[key]: p for key, p in leaves.items()}
    with autocast(call):
        return still_lost(func, spots(call.t[0], call.t[-1], call.y0), params, before)


def keep(call: Call) -> None:
    """Hold on to f as it is, its parameters, and which of them are differentiated."""
    if keep_module(call):
        return
    told = _told(call)
    if told is None and isinstance(call.func, nn.Module):  # what torchdiffeq takes then
        told = tuple(call.func.parameters())
    _keep_function(call, told)


def keep_module(call: Call) -> bool:
    """By a copy of it; not if f is none, or reads what it is told of elsewhere."""
    return isinstance(call.func, nn.Module) and _keep_module(call, call.func, _told(call))


def _told(call: Call) -> tuple[Tensor, ...] | None:
    told = call.arguments.get("adjoint_params")
    if isinstance(told, Tensor):  # see _by_rows
        return ()
    return None if told is None else tuple(told)


def _keep_module(call: Call, module: nn.Module, told: tuple[Tensor, ...] | None) -> bool:
    own = tuple(module.parameters()) if told is None else told
    held = held_by(module, moments(call.t), call.y0, own)
    named = {**dict(module.named_parameters()), **held.all}
    try:
        copied = copy_of(module, held)
        read = leaves_of(copied, call.t[0], call.y0).values()
    except Exception:  # it holds a lock, say
        return False
    mine = set(map(id, copied.parameters()))
    if set(map(id, read)) - mine:  # held where a copy has the same: in a closure, a global
        return False
    elsewhere = {id(x) for part in module.modules() for _, x in tensors_in(part)}
    shared = mine & set(map(id, module.parameters()))
    if shared or (elsewhere & set(map(id, told or ()))) - set(map(id, named.values())):
        return False
    call.computed, call.prepared = list(held.contexts), list(held.prepared)
    call.counted = _by_rows(call) or counted(named, held.all, own)
    if held.all:
        told = (*own, *held.prepared.values())
    _tell(call, named, told)
    call.func = copied
    return True


def _keep_function(call: Call, told: tuple[Tensor, ...] | None) -> None:
    """By the tensors it reads."""
    func = call.func
    named = leaves_of(func, call.t[0], call.y0, told or ())
    left = set(map(id, named.values()))
    if told is not None:
        computed = {name: x for name, x in named.items() if not x.is_leaf}
        call.counted = _by_rows(call) or counted(named, computed, told)
        known = set(map(id, told))
        made = [x for x in computed.values() if sources_of(x, told).keys() <= known]
        behind = {
            leaf
            for x in computed.values()
            for leaf in sources_of(x, [p for p in told if p is not x])
        } - left
        told = (*(p for p in told if id(p) not in behind), *made)
    others = [(i, p) for i, p in enumerate(told or ()) if p.requires_grad and id(p) not in left]
    own = {id(p): name for name, p in named_in(func)}
    named |= {own.get(id(p), f"adjoint_params[{i}]"): p for i, p in others}
    call.leaves = named
    call.values = {name: cut(p) for name, p in named.items()}
    _tell(call, named, told)
    if isinstance(func, nn.Module):
        call.func = partial(func)


def _by_rows(call: Call) -> str:
    given = call.arguments.get("adjoint_params")
    if not isinstance(given, Tensor):
        return ""
    shape = tuple(given.shape)
    return (
        f"its adjoint_params are a tensor of shape {shape}, which torchdiffeq takes for a list of "
        "its rows: f depends on none of those, and nothing gets a gradient; put it in a tuple, "
        "adjoint_params=(tensor,)"
    )


def _tell(call: Call, named: Mapping[str, Tensor], told: tuple[Tensor, ...] | None) -> None:
    if told is not None:
        wanted = set(map(id, told))
        call.adjoint_params = [name for name, p in named.items() if id(p) in wanted]
