"""What the tensors are called that a function can reach: in what it holds, and around it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Iterator
from types import FunctionType
from typing import Any

from torch import Tensor, nn

from node_diag.reachable.containers import OWN, tensors_in

DEEPEST = 2
"""Objects inside objects in which names are looked for."""
MOST_HELD = 10_000
"""Entries of a list, tuple or dict in which names are looked for; what has more is data."""


def named_in(func: Any) -> list[tuple[str, Tensor]]:
    """Tensors that are reachable from a function, and how; of two names the nearest comes last."""
    return sorted(_named(func, ""), key=lambda pair: -pair[0].count("."))


def _named(func: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """Tensors that are reachable from a function, and how."""
    for path, thing in reached(func, name):
        if isinstance(thing, Tensor):
            yield path, thing
            continue
        prefix = f"{path}." if path else ""
        yield from ((prefix + own, p) for own, p in thing.named_parameters())
        for inner, part in thing.named_modules():
            if (forward := own_forward(part)) is not None:
                yield from _tensors(reached(forward, "", DEEPEST))
            at = f"{prefix}{inner}." if inner else prefix
            yield from ((at + own, x) for own, x in tensors_in(part) if x.requires_grad)
            for own, value in vars(part).items():
                if own not in OWN and not isinstance(value, Tensor | nn.Module):
                    yield from _tensors(reached(value, at + own))


def _tensors(reached: Iterable[tuple[str, Tensor | nn.Module]]) -> Iterator[tuple[str, Tensor]]:
    for name, thing in reached:
        if isinstance(thing, Tensor):
            yield name, thing
        else:
            yield from ((f"{name}.{own}", p) for own, p in thing.named_parameters())


def reached(thing: Any, name: str, depth: int = 0) -> Iterator[tuple[str, Tensor | nn.Module]]:
    """Tensors and modules that are reachable from a function, and how."""
    if isinstance(thing, Tensor | nn.Module):
        yield name, thing
    elif depth <= DEEPEST and not is_installed(thing):
        for inner, value in held(thing):
            path = f"{name}.{inner}" if name and inner else name or inner
            yield from reached(value, path, depth + 1)


def own_forward(module: nn.Module) -> FunctionType | None:
    """What a module's author wrote, who may have named tensors around it; none of a library's."""
    forward = inspect.getattr_static(type(module), "forward", None)
    if inspect.isfunction(forward) and "-packages" not in forward.__code__.co_filename:
        return forward
    return None


def is_installed(thing: Any) -> bool:
    """Whether it is a library: to look at all that torch holds would warn of what is deprecated."""
    return inspect.ismodule(thing) and "-packages" in str(getattr(thing, "__file__", ""))


def is_data(thing: Any) -> bool:
    """Whether it is a container of too many entries to look into."""
    return isinstance(thing, list | tuple | dict) and len(thing) > MOST_HELD


def held(thing: Any) -> list[tuple[str, Any]]:
    """What a function or an object has at hand, and by what name."""
    if is_data(thing):
        return []
    if isinstance(thing, functools.partial):
        given = [("", thing.func), *enumerate(thing.args), *thing.keywords.items()]
        return [(str(key), value) for key, value in given]
    if inspect.ismethod(thing):
        return [("", thing.__self__), ("", thing.__func__)]
    if inspect.isfunction(thing):
        closed = inspect.getclosurevars(thing)
        return [*closed.nonlocals.items(), *closed.globals.items()]
    if isinstance(thing, list | tuple):
        return [(str(i), value) for i, value in enumerate(thing)]
    if isinstance(thing, dict):
        return [(str(key), value) for key, value in thing.items()]
    return list(getattr(thing, "__dict__", {}).items())
